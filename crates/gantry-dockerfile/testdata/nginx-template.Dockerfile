FROM nginx:1.27-alpine
ARG SERVER_NAME="_"
ENV NGINX_ENVSUBST_OUTPUT_DIR=/etc/nginx SERVER_NAME=${SERVER_NAME}
COPY <<EOF /etc/nginx/conf.d/default.conf
server {
    listen 80 default_server;
    server_name ${SERVER_NAME};
    location / {
        root /usr/share/nginx/html;
        try_files \$uri \$uri/ /index.html;
    }
}
EOF
COPY --chmod=755 <<-"EOT" /docker-entrypoint.d/40-say-hello.sh
	#!/bin/sh
	echo "hello from $0"
	EOT
STOPSIGNAL SIGQUIT
