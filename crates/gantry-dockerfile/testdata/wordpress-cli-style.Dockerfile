FROM wordpress:cli
USER root
RUN set -ex; \
    { \
        echo '#!/bin/sh'; \
        echo 'exec wp "$@"'; \
    } > /usr/local/bin/run; \
    chmod +x /usr/local/bin/run
USER 33:33
CMD ["run", "--info"]
