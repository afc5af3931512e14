FROM alpine:3.19
ARG TERRAFORM_VERSION=1.8.5
ARG KUBECTL_VERSION=v1.30.2
RUN apk add --no-cache curl unzip \
 && curl -fsSLo /tmp/tf.zip "https://releases.hashicorp.com/terraform/${TERRAFORM_VERSION}/terraform_${TERRAFORM_VERSION}_linux_amd64.zip" \
 && unzip -d /usr/local/bin /tmp/tf.zip && rm /tmp/tf.zip \
 && curl -fsSLo /usr/local/bin/kubectl "https://dl.k8s.io/release/${KUBECTL_VERSION}/bin/linux/amd64/kubectl" \
 && chmod +x /usr/local/bin/kubectl
ENTRYPOINT ["/bin/sh"]
