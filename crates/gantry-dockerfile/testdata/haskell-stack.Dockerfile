FROM fpco/stack-build:lts-22 as dependencies
RUN mkdir /opt/build
WORKDIR /opt/build
COPY stack.yaml package.yaml stack.yaml.lock /opt/build/
RUN stack build --system-ghc --dependencies-only
FROM fpco/stack-build:lts-22 as build
COPY --from=dependencies /root/.stack /root/.stack
COPY . /opt/build/
RUN mv "$(stack path --local-install-root --system-ghc)/bin" /opt/build/bin
FROM ubuntu:22.04 as app
COPY --from=build /opt/build/bin .
CMD ["/opt/app/server", "8080"]
