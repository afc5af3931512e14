FROM gradle:8-jdk21 AS gradle
COPY --chown=gradle:gradle . /home/gradle/src
WORKDIR /home/gradle/src
RUN gradle build --no-daemon
RUN jlink --add-modules java.base,java.logging,java.sql \
          --strip-debug --no-man-pages --no-header-files --compress=2 \
          --output /jre
FROM debian:stable-slim
ENV JAVA_HOME=/opt/jre PATH="${JAVA_HOME}/bin:${PATH}"
COPY --from=gradle /jre $JAVA_HOME
COPY --from=gradle /home/gradle/src/build/libs/*.jar /app/
CMD ["java", "-cp", "/app/*", "com.example.Main"]
