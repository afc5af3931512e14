FROM alpine AS base
COPY --parents ./x/a.txt ./y/./a.txt /parents/
COPY --link --chown=55:mygroup files* /somedir/
COPY --chown=bin --chmod=u+rwX,go=rX files* /somedir/
COPY --from=nginx:latest /etc/nginx/nginx.conf /nginx.conf
COPY --from=BASE . .
COPY --exclude=node_modules --exclude=**/*.test.js . /app
COPY --link=false a b
COPY "--chown=1:2" 'quoted source' dest
COPY -- --strange /dest
