FROM busybox
RUN ["echo", "a b"]
RUN [ "echo" , "json with spaces" ]
RUN ['echo', 'single quotes']
RUN [ -f /etc/passwd ] && echo yes
RUN ["unterminated
RUN ["a"] trailing
RUN [
RUN [] echo
CMD []
ENTRYPOINT []
ENTRYPOINT [ "/entry", "--flag=\"x\"", "\t\\" ]
CMD echo $HOME
ENTRYPOINT /entry  --two   spaces
SHELL ["/bin/ash", "-eo", "pipefail", "-c"]
