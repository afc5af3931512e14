FROM debian:stable AS build-env
RUN git clone --depth 1 -b 3.22.0 https://github.com/flutter/flutter.git /usr/local/flutter
ENV PATH="/usr/local/flutter/bin:/usr/local/flutter/bin/cache/dart-sdk/bin:${PATH}"
RUN flutter config --enable-web --no-analytics
COPY . /app
RUN cd /app && flutter build web --dart-define=API="https://api.example.com/?a=1&b=2"
FROM nginx:alpine
COPY --from=build-env /app/build/web /usr/share/nginx/html
