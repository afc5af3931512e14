FROM busybox
ENV abc=hello
ENV abc=bye def=$abc
ENV ghi=$abc
ENV MY_NAME="John Doe" MY_DOG=Rex\ The\ Dog \
    MY_CAT=fluffy
ENV ONE TWO= THREE=world
ENV empty= quoted="" single='' mixed="a 'b' c"' d "e"'
LABEL "com.example.vendor"="ACME Incorporated"
LABEL com.example.label-with-value="foo"
LABEL description="This text illustrates \
that label-values can span multiple lines."
LABEL multi.label1="value1" multi.label2="value2" other=value3
LABEL json='{"a": ["b", "c"], "d": "e f"}' path=C:\\Temp
ADD ["file with spaces.txt", "/dest dir/"]
COPY arr[[]0].txt hom* hom?.txt /mydir/
VOLUME ["/data", "/my data"]
VOLUME /var/log /var/db
USER "app":"app"
