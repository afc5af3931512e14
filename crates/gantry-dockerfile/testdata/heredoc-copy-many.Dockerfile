FROM alpine
ARG FOO=bar
COPY <<-one.txt <<'two.txt' <<"three" local.txt /dest/
	one $FOO
	one.txt
two $FOO
two.txt
the third
three
ADD <<EOF /only-one
# this is content
EOF
ONBUILD COPY <<EOF /child
child
EOF
