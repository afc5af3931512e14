//! Gantry's own rules: what guides keep teaching and people keep getting wrong.

use super::{Facts, facts as rule};
use crate::diagnostic::Severity;

pub(super) static ADD_INSTEAD_OF_COPY: Facts = rule(
    Severity::Warning,
    "ADD where COPY serves",
    "`ADD` also fetches addresses and unpacks archives. For plain files and folders of the context `COPY` says what happens, and goes on doing so when a file happens to be an archive. Looked for where the source is a folder, a heredoc or has an ending that no archive has; `--fix` writes `COPY`.",
    "FROM scratch\nADD config.json /etc/app/\n",
    "FROM scratch\nCOPY config.json /etc/app/\n",
);

pub(super) static APT_RECOMMENDS: Facts = rule(
    Severity::Info,
    "apt-get install without --no-install-recommends",
    "Debian installs recommended packages too, which often doubles the size of the layer. With `--no-install-recommends` only what is needed comes in. No fix is made, since something may rely on a recommended package.",
    "FROM debian:12\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
    "FROM debian:12\nRUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*\n",
);

pub(super) static APT_UPDATE_ALONE: Facts = rule(
    Severity::Warning,
    "apt-get update in a RUN that installs nothing",
    "The step with `update` stays in the cache while the `install` after it changes, so that packages are looked for in old lists: they are outdated, or no longer there. Write both in one `RUN`.",
    "FROM debian:12\nRUN apt-get update\nRUN apt-get install -y curl\n",
    "FROM debian:12\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
);

pub(super) static APT_WITHOUT_YES: Facts = rule(
    Severity::Warning,
    "apt-get without -y, which asks a question that nobody answers",
    "A build has no terminal: the question is answered with no and the step fails. `--fix` adds `-y`.",
    "FROM debian:12\nRUN apt-get update && apt-get install curl && rm -rf /var/lib/apt/lists/*\n",
    "FROM debian:12\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
);

pub(super) static CD_INSTEAD_OF_WORKDIR: Facts = rule(
    Severity::Info,
    "RUN cd where WORKDIR serves",
    "The folder of a shell ends with its `RUN`. `WORKDIR` holds for every instruction that follows, makes the folder where there is none, and is shown by `inspect`.",
    "FROM busybox:1\nRUN cd /app && make\n",
    "FROM busybox:1\nWORKDIR /app\nRUN make\n",
);

pub(super) static CLEAN_UP_IN_LATER_LAYER: Facts = rule(
    Severity::Warning,
    "Files are removed in a later layer than the one that made them",
    "A layer cannot take away what an earlier one holds: the files are hidden but still stored and pulled. Remove them in the `RUN` that makes them, mount them with `RUN --mount`, or leave them in another stage.",
    "FROM busybox:1\nCOPY sources.tar /tmp/sources.tar\nRUN tar -xf /tmp/sources.tar -C /usr/src\nRUN rm /tmp/sources.tar\n",
    "FROM busybox:1\nRUN --mount=source=sources.tar,target=/tmp/sources.tar tar -xf /tmp/sources.tar -C /usr/src\n",
);

pub(super) static CMD_IGNORED: Facts = rule(
    Severity::Warning,
    "CMD beside an ENTRYPOINT in shell form, which never sees it",
    "`ENTRYPOINT` in shell form becomes `/bin/sh -c …`; what `CMD` and the command line say is handed to that shell, not to the program. Write the entry point as a JSON array.",
    "FROM busybox:1\nENTRYPOINT httpd -f\nCMD [\"-p\", \"8080\"]\n",
    "FROM busybox:1\nENTRYPOINT [\"httpd\", \"-f\"]\nCMD [\"-p\", \"8080\"]\n",
);

pub(super) static COMPILER_SHIPPED: Facts = rule(
    Severity::Warning,
    "The only stage holds a compiler, which the image then ships",
    "Compilers and headers make the image several times larger and help whoever breaks into it. Build in one stage and `COPY --from` what came of it into another.",
    "FROM golang:1.23\nCOPY . /src\nRUN go build -o /app /src\nUSER 1000\nENTRYPOINT [\"/app\"]\n",
    "FROM golang:1.23 AS build\nCOPY . /src\nRUN go build -o /app /src\nFROM scratch\nCOPY --from=build /app /app\nUSER 1000\nENTRYPOINT [\"/app\"]\n",
);

pub(super) static COPY_BEFORE_INSTALL: Facts = rule(
    Severity::Warning,
    "The whole context is copied before dependencies are installed",
    "Every change of any file then installs all dependencies again. Copy the list of dependencies first (`package.json`, `requirements.txt`, `go.mod` …), install, and copy the rest after that.",
    "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci && npm cache clean --force\n",
    "FROM node:22\nWORKDIR /app\nCOPY package*.json ./\nRUN npm ci && npm cache clean --force\nCOPY . .\n",
);

pub(super) static DOCKERIGNORE_INCOMPLETE: Facts = rule(
    Severity::Warning,
    "The whole context is copied with files that hardly belong into an image",
    "History (`.git`), installed packages (`node_modules`), and secrets (`.env`, keys) end up in the image, and each change of them runs the step again. Name them in `.dockerignore`. Only said of files that are there.",
    "FROM scratch\nCOPY . /app\n",
    "FROM scratch\nCOPY src /app/src\n",
);

pub(super) static HEALTHCHECK_MISSING: Facts = rule(
    Severity::Info,
    "The image says how to start but not how to tell whether it is well",
    "Without `HEALTHCHECK` a container counts as well while its process lives, also when it answers nobody. Where another system does the checking, `HEALTHCHECK NONE` says so.",
    "FROM busybox:1\nUSER 1000\nCMD [\"httpd\", \"-f\"]\n",
    "FROM busybox:1\nUSER 1000\nHEALTHCHECK CMD wget -qO- http://localhost/ || exit 1\nCMD [\"httpd\", \"-f\"]\n",
);

pub(super) static LATEST_TAG: Facts = rule(
    Severity::Warning,
    "The base image has no tag, or the tag latest",
    "Which image that is changes with every release, so that the same file gives another image tomorrow. Name a version, or better a digest.",
    "FROM debian\n",
    "FROM debian:12\n",
);

pub(super) static PACKAGE_CACHE_KEPT: Facts = rule(
    Severity::Warning,
    "A package manager leaves its cache or its lists in the layer",
    "They are never used again. Have them not written (`apk add --no-cache`, `pip install --no-cache-dir`), remove them in the same `RUN`, or keep them out of the image with `RUN --mount=type=cache`. Only stages that the image is made of are looked at. `--fix` adds the options of apk and pip, and removes the lists of apt where no later step could need them.",
    "FROM alpine:3.20\nRUN apk add curl\n",
    "FROM alpine:3.20\nRUN apk add --no-cache curl\n",
);

pub(super) static PIPE_WITHOUT_PIPEFAIL: Facts = rule(
    Severity::Warning,
    "A pipe whose first command may fail unnoticed",
    "The status of a pipe is that of its last command: a download that fails gives an empty archive or installs nothing, and the step succeeds. Say `set -o pipefail` first, or `SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]`.",
    "FROM busybox:1\nRUN wget -qO- https://example.com/install | sh\n",
    "FROM busybox:1\nRUN set -o pipefail && wget -qO- https://example.com/install | sh\n",
);

pub(super) static ROOT_USER: Facts = rule(
    Severity::Warning,
    "The image runs as root",
    "What breaks into the program then owns the container and is closer to owning the host. Make a user and name it with `USER` at the end. Nothing is said of bases whose name promises another user (`nonroot`, `rootless`, `unprivileged`).",
    "FROM busybox:1\nCMD [\"httpd\", \"-f\"]\n",
    "FROM busybox:1\nUSER 1000:1000\nCMD [\"httpd\", \"-f\"]\n",
);

pub(super) static SECRET_VALUE: Facts = rule(
    Severity::Error,
    "A value that looks like a key or a password",
    "It stands in the image's configuration and history, and in the repository of the file. Revoke it, and hand the new one to the step that needs it with `RUN --mount=type=secret`. The rule goes by the value: the forms in which well-known services write their keys, private keys, and addresses with a password.",
    "FROM scratch\nENV DATABASE=postgres://app:hunter2secret@db/app\n",
    "FROM scratch\nENV DATABASE=postgres://db/app\n",
);

pub(super) static SEVERAL_PROCESSES: Facts = rule(
    Severity::Warning,
    "A process is put into the background, where nobody looks after it",
    "At the end of a `RUN` it is killed. In a container it is neither restarted nor stopped properly, and its end goes unnoticed. Run one container for each process, or a supervisor that is made for it.",
    "FROM busybox:1\nUSER 1000\nCMD [\"sh\", \"-c\", \"crond & exec httpd -f\"]\n",
    "FROM busybox:1\nUSER 1000\nCMD [\"httpd\", \"-f\"]\n",
);

pub(super) static SIGNALS_LOST: Facts = rule(
    Severity::Warning,
    "A shell stands between the container and its program and keeps the signals",
    "The shell is the first process and does not hand on what `stop` sends: the program is killed when the time is over. Begin the last command with `exec`, or leave the shell out. `--fix` adds `exec` where there is one command.",
    "FROM busybox:1\nCMD [\"sh\", \"-c\", \"httpd -f -p $PORT\"]\n",
    "FROM busybox:1\nCMD [\"sh\", \"-c\", \"exec httpd -f -p $PORT\"]\n",
);

pub(super) static SUDO_USED: Facts = rule(
    Severity::Warning,
    "sudo in a RUN",
    "A `RUN` is root's unless `USER` said otherwise, so that `sudo` does nothing but come along in the image. Switch with `USER root` and back.",
    "FROM busybox:1\nRUN sudo chmod 755 /usr/local/bin/app\n",
    "FROM busybox:1\nRUN chmod 755 /usr/local/bin/app\n",
);

pub(super) static TAG_WITHOUT_DIGEST: Facts = rule(
    Severity::Info,
    "The base image has a tag but no digest",
    "A tag can be moved to another image by whoever owns it. With `name:tag@sha256:…` the same file gives the same image, and a changed base is noticed.",
    "FROM debian:12\n",
    "FROM debian:12@sha256:1f4de1a8c6d3bd3b6d2e1ba0b0e4dbb0d0b6f6b5d2b9b1e3f6d3a5c4b2a19080\n",
);
