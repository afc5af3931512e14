FROM alpine
RUN a \
  b
RUN c
ENV A=b\
c
