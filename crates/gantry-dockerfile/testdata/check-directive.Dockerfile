# syntax = docker/dockerfile:1-labs
# check = skip=JSONArgsRecommended;error=true
# escape = \
# unknown=directive
# escape=`
FROM alpine
CMD echo \
  hi
