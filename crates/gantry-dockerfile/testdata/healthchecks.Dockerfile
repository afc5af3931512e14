FROM busybox
HEALTHCHECK NONE
HEALTHCHECK --interval=5m --timeout=3s CMD curl -f http://localhost/ || exit 1
HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0s --start-interval=1.5s --retries=5 CMD ["/bin/check", "--deep"]
HEALTHCHECK CMD   check   --spaces
