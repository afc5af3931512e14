//! Tables of what Gantry's own rules find and leave alone.

use super::{Origin, told};

/// The complaints of one rule about some instructions on a base that nothing else is said of.
fn found(rule: &str, instructions: &str) -> String {
    let text = format!("FROM busybox:1\n{instructions}\n");
    let all = told(&text, Origin::Gantry);
    let begins = format!("{rule}: ");
    let own = all.lines().filter_map(|line| {
        let (number, rest) = line.split_once(' ')?;
        Some(format!("{number} {}", rest.strip_prefix(&begins)?))
    });
    own.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn table(rule: &str, bad: &[&str], good: &[&str]) {
    for instructions in bad {
        assert_ne!(found(rule, instructions), "", "{rule}: {instructions}");
    }
    for instructions in good {
        assert_eq!(found(rule, instructions), "", "{rule}: {instructions}");
    }
}

#[test]
fn bases() {
    let base = |text: &str| told(text, Origin::Gantry);
    for latest in ["debian", "a.b/c", "localhost:5000/x", "debian:latest"] {
        let said = base(&format!("FROM {latest}\n"));
        assert!(said.contains("LatestTag"), "{latest}: {said}");
    }
    for fine in ["scratch", "debian:12", "$UNSET", "${GIVEN}:2"] {
        let said = base(&format!("ARG GIVEN\nFROM {fine}\n"));
        assert!(!said.contains("LatestTag"), "{fine}: {said}");
    }
    assert!(!base("FROM scratch AS a\nFROM a\n").contains("Tag"));
    assert!(base("FROM debian:12\n").contains("TagWithoutDigest"));
}

#[test]
fn add_and_copy() {
    table(
        "AddInsteadOfCopy",
        &[
            "ADD . /x",
            "ADD a/ b/ /x/",
            "add a.json /x",
            "ADD --chown=1 a.py b.sh /x/",
            "ADD <<E /x\na\nE",
        ],
        &[
            "ADD a.tar.gz /x",
            "ADD a.TGZ /",
            "ADD program /x",
            "ADD *.js /x",
            "ADD https://example.com/a.json /x",
            "ADD git@example.com:a/b.git /x",
            "ADD --unpack=false a.json /x",
            "COPY a.json /x",
        ],
    );
    table(
        "CopyBeforeInstall",
        &[
            "COPY . .\nRUN npm ci",
            "COPY ./ /app\nRUN cd /app && pip install -r requirements.txt",
            "ADD . /app\nRUN go mod download",
            "COPY . .\nRUN python -m pip install -r x.txt",
        ],
        &[
            "COPY . .\nRUN make",
            "COPY package.json .\nRUN npm ci\nCOPY . .",
            "COPY package.json .\nRUN npm ci\nCOPY . .\nRUN npm ci --omit=dev",
            "COPY . .\nRUN pip install wheel",
            "COPY --from=busybox:1 . .\nRUN npm ci",
        ],
    );
    table(
        "DockerignoreIncomplete",
        &["COPY . /x", "ADD ./ /x"],
        &["COPY src /x", "COPY --from=busybox:1 . /x"],
    );
    assert_eq!(
        found("DockerignoreIncomplete", "COPY . /x"),
        "2 .git of the context is copied too; name it in .dockerignore"
    );
}

#[test]
fn apt() {
    table(
        "AptUpdateAlone",
        &["RUN apt-get update", "RUN apt update && apt-get clean"],
        &[
            "RUN apt-get update && apt-get install -y x",
            "RUN echo apt-get update",
            "RUN apt-get update; apt-get -y upgrade",
        ],
    );
    table(
        "AptWithoutYes",
        &[
            "RUN apt-get install x",
            "RUN apt install --no-install-recommends x",
            "RUN sudo apt-get -o A=-y remove x",
        ],
        &[
            "RUN apt-get install -y x",
            "RUN apt-get -yq install x",
            "RUN apt-get install x -qq",
            "RUN apt-get install --assume-yes x",
            "RUN yes | apt-get install x",
            "RUN apt-get update",
        ],
    );
    table(
        "AptRecommends",
        &["RUN apt-get install -y x"],
        &[
            "RUN apt-get install -y --no-install-recommends x",
            "RUN apt-get -o APT::Install-Recommends=0 install -y x",
        ],
    );
}

#[test]
fn caches() {
    table(
        "PackageCacheKept",
        &[
            "RUN apt-get update && apt-get install -y x",
            "RUN apk add x",
            "RUN dnf install -y x",
            "RUN yum install -y x && rm -rf /tmp/x",
            "RUN pip install x",
            "RUN python3 -m pip install x",
            "RUN npm ci",
            "RUN <<E\napk add x\nE",
        ],
        &[
            "RUN apt-get update && apt-get install -y x && rm -rf /var/lib/apt/lists/*",
            "RUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install -y x",
            "RUN apt-get install -y x",
            "RUN apk add --no-cache x",
            "RUN apk add x && rm -rf /var/cache/apk/*",
            "RUN dnf install -y x && dnf clean all",
            "RUN yum install -y x && rm -rf /var/cache/yum",
            "RUN pip install --no-cache-dir x",
            "ENV PIP_NO_CACHE_DIR=1\nRUN pip install x",
            "RUN --mount=type=cache,target=/root/.cache/pip pip install x",
            "RUN npm ci && npm cache clean --force",
            "RUN --mount=type=cache,target=/root/.npm npm ci",
            "RUN python3 -m venv install",
            "RUN apk add x\nFROM busybox:1\nCOPY --from=0 / /",
        ],
    );
    table(
        "CleanUpInLaterLayer",
        &[
            "COPY a.tar /tmp/\nRUN rm /tmp/a.tar",
            "ADD a /x/y\nRUN rm -rf /x",
            "RUN curl -fsSLo /tmp/f http://x\nRUN rm /tmp/f",
            "RUN wget -O /tmp/f http://x && true\nRUN true && rm -f /tmp/f",
            "RUN apt-get update && apt-get install -y gcc\nRUN rm -rf /var/lib/apt/lists/*",
            "RUN apk add gcc\nRUN apk del gcc",
            "RUN apt-get install -y gcc\nRUN apt-get purge -y gcc",
        ],
        &[
            "RUN rm /etc/motd",
            "COPY a /b\nRUN rm /bc",
            "RUN curl -o /tmp/f http://x && rm /tmp/f\nRUN rm -f /tmp/f",
            "RUN apk add gcc && apk del gcc\nRUN apk del gcc",
            "COPY a /a\nRUN rm b",
        ],
    );
}

#[test]
fn processes() {
    table(
        "SeveralProcesses",
        &[
            "RUN server &",
            "RUN service nginx start",
            "RUN true && /etc/init.d/x start",
            "CMD a & b",
            "ENTRYPOINT [\"/bin/bash\", \"-lc\", \"a & exec b\"]",
            "CMD service x start && tail -f /dev/null",
        ],
        &[
            "RUN a & wait",
            "RUN service x start && use",
            "RUN a && b 2>&1",
            "RUN a &>x",
            "CMD a && b",
            "CMD [\"a\", \"&\"]",
        ],
    );
    table(
        "SignalsLost",
        &[
            "CMD [\"sh\", \"-c\", \"a\"]",
            "ENTRYPOINT [\"/bin/bash\", \"-ec\", \"a && b\"]",
        ],
        &[
            "CMD [\"sh\", \"-c\", \"a && exec b\"]",
            "CMD [\"sh\", \"-c\", \"$X\"]",
            "CMD [\"sh\", \"x.sh\"]",
            "CMD [\"a\", \"-c\", \"b\"]",
        ],
    );
    table(
        "CmdIgnored",
        &["ENTRYPOINT a\nCMD [\"b\"]", "CMD [\"b\"]\nENTRYPOINT a"],
        &[
            "ENTRYPOINT [\"a\"]\nCMD [\"b\"]",
            "ENTRYPOINT a",
            "CMD a",
            "ENTRYPOINT a\nENTRYPOINT [\"a\"]\nCMD [\"b\"]",
        ],
    );
    table(
        "PipeWithoutPipefail",
        &[
            "RUN curl x | sh",
            "RUN a && b | c",
            "RUN <<E\nset -e\ncurl x | sh\nE",
        ],
        &[
            "RUN set -o pipefail && curl x | sh",
            "RUN set -euxo pipefail; curl x | sh",
            "SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN curl x | sh",
            "RUN echo x | sh",
            "RUN a || b",
            "RUN [\"a\", \"|\", \"b\"]",
            "SHELL [\"powershell\"]\nRUN a | b",
            "RUN <<E\n#!/usr/bin/env python3\na | b\nE",
        ],
    );
    table(
        "SudoUsed",
        &["RUN sudo a", "RUN a && sudo -E b"],
        &["RUN apt-get install -y sudo", "RUN echo sudo"],
    );
    table(
        "CdInsteadOfWorkdir",
        &["RUN cd /x", "RUN cd x && make"],
        &["RUN make && cd x && make", "RUN (true; cd x)"],
    );
}

#[test]
fn images() {
    table(
        "RootUser",
        &[
            "RUN a",
            "USER root",
            "USER 1\nUSER 0:0",
            "USER 1\nFROM busybox:1",
        ],
        &[
            "USER 1000",
            "USER app:app",
            "USER $WHO",
            "FROM gcr.io/distroless/static:nonroot",
            "FROM scratch\nCOPY a /",
            "FROM busybox:1 AS a\nUSER 5\nFROM a",
        ],
    );
    table(
        "HealthcheckMissing",
        &["CMD [\"a\"]"],
        &["RUN a", "CMD [\"a\"]\nHEALTHCHECK NONE"],
    );
    table(
        "CompilerShipped",
        &[
            "RUN apk add --no-cache build-base\nCMD [\"a\"]",
            "RUN apt-get install -y gcc=1.2\nENTRYPOINT [\"a\"]",
        ],
        &[
            "RUN apk add --no-cache build-base && apk del build-base\nCMD [\"a\"]",
            "RUN apk add build-base\nFROM busybox:1\nCMD [\"a\"]",
            "RUN apk add build-base",
        ],
    );
    table(
        "SecretValue",
        &[
            "ENV A=https://u:p@h",
            "ARG A=https://u:p@h",
            "LABEL a=https://u:p@h",
        ],
        &["ENV A=https://h/u:p@x"],
    );
}

#[test]
fn windows_scripts_are_left_alone() {
    let text = "# escape=`\nFROM busybox:1\nRUN apk add x | y\n";
    let said = told(text, Origin::Gantry);
    assert!(!said.contains("Cache") && !said.contains("Pipe"), "{said}");
}
