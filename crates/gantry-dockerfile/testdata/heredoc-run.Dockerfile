# syntax=docker/dockerfile:1
FROM debian
RUN <<EOT bash
  set -ex
  apt-get update
  apt-get install -y vim
EOT
RUN <<EOT
  mkdir -p foo/bar
EOT
RUN <<'EOT'
#!/usr/bin/env python3
print("hello $world")
EOT
RUN <<FILE1 cat > file1 && <<FILE2 cat > file2
I am
first
FILE1
I am
second
FILE2
RUN cat <<-EOT | sed 's/a/b/' 3<<-"X Y" >/etc/conf
	line one \
	# not a comment
	EOT

	tabs
	X Y
RUN python3 << EOF
print(1)
EOF
