#Escape = `
FROM mcr.microsoft.com/windows/nanoserver:ltsc2022
SHELL ["cmd", "/S", "/C"]
RUN mkdir C:\tools && `
    echo "hello" > C:\tools\`"quoted`".txt
USER ContainerUser
CMD ["cmd.exe"]
