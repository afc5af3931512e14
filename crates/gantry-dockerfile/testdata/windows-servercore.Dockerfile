# escape=`

FROM mcr.microsoft.com/windows/servercore:ltsc2022
SHELL ["powershell", "-Command", "$ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue';"]
ENV GIT_VERSION 2.43.0
RUN Invoke-WebRequest `
        -Uri ('https://example.com/git/{0}/MinGit.zip' -f $env:GIT_VERSION) `
        -OutFile 'mingit.zip'; `
    Expand-Archive mingit.zip C:\mingit; `
    # a comment inside
    Remove-Item mingit.zip
WORKDIR C:\app\
COPY .\bin\ C:\app\bin\
ENV PATH="C:\mingit\cmd;${PATH}" DATA=C:\data` dir
VOLUME C:\data
ENTRYPOINT ["C:\\app\\bin\\server.exe"]
CMD C:\app\bin\server.exe --config C:\app\`
config.json
