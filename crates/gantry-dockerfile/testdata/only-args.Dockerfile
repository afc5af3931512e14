ARG A
ARG B=1 C="two words" D
ARG E=${B}-${C}
FROM scratch
ARG A
ARG B C
ARG F=$A$B
