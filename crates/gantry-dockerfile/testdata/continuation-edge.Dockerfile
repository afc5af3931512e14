FROM alpine
RUN echo \\
RUN echo a\
b
RUN echo a \  
  b \	
  c
RUN \
\
  echo lonely
RUN echo 'x\
y'
RUN echo end \