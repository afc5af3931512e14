FROM   alpine:latest   AS   spaced   
RUN	tabbed	command
ENV	TAB	value with	tabs
LABEL a=b	c=d
USER  root  
WORKDIR   /with space/dir   
CMD
ENTRYPOINT
RUN
ENV A=\
B
COPY a\
 b /c
EXPOSE \
  80 \
  81
