FROM node:lts AS build
WORKDIR /src
COPY package*.json ./
RUN npm install
COPY . ./
RUN npm run build

FROM nginx:stable-alpine
COPY --from=build /src/dist /usr/share/nginx/html
COPY nginx/default.conf.template /etc/nginx/templates/
EXPOSE 80/tcp
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
