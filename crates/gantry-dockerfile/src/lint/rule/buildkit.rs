//! BuildKit's rules. The summaries are the descriptions that its JSON carries.

use super::{Facts, facts};
use crate::diagnostic::Severity;

const fn rule(
    summary: &'static str,
    why: &'static str,
    bad: &'static str,
    good: &'static str,
) -> Facts {
    facts(Severity::Warning, summary, why, bad, good)
}

const fn on_trial(facts: Facts) -> Facts {
    Facts {
        experimental: true,
        ..facts
    }
}

pub(super) static CONSISTENT_INSTRUCTION_CASING: Facts = rule(
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
    "Keywords may be written in any case, but a file is easier to read when they are all alike. The majority decides; `--fix` rewrites the others.",
    "FROM scratch\nCOPY app /app\nentrypoint [\"/app\"]\n",
    "FROM scratch\nCOPY app /app\nENTRYPOINT [\"/app\"]\n",
);

pub(super) static COPY_IGNORED_FILE: Facts = on_trial(rule(
    "Attempting to Copy file that is excluded by .dockerignore",
    "The ignore file takes the source out of the context, so that the instruction fails or copies nothing. Take the pattern out of the ignore file, or the source out of the instruction.",
    "# check=experimental=CopyIgnoredFile\nFROM scratch\nCOPY tmp/notes.txt /\n",
    "# check=experimental=CopyIgnoredFile\nFROM scratch\nCOPY notes.txt /\n",
));

pub(super) static DUPLICATE_STAGE_NAME: Facts = rule(
    "Stage names should be unique",
    "A name that two stages have means the later one, for every instruction after it and for `--target`. The earlier one cannot be reached by name any more.",
    "FROM scratch AS app\nCOPY a /\nFROM scratch AS app\nCOPY b /\n",
    "FROM scratch AS first\nCOPY a /\nFROM scratch AS second\nCOPY b /\n",
);

pub(super) static EXPOSE_INVALID_FORMAT: Facts = rule(
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
    "`EXPOSE` records ports of the container. To which address and port of the host they are published is decided by `--publish` when the container is made; what stands before the last colon here has no effect. `--fix` takes it away.",
    "FROM scratch\nEXPOSE 127.0.0.1:8080:80\n",
    "FROM scratch\nEXPOSE 80\n",
);

pub(super) static EXPOSE_PROTO_CASING: Facts = rule(
    "Protocol in EXPOSE instruction should be lowercase",
    "The protocol is recorded in small letters whatever is written. `--fix` writes it so.",
    "FROM scratch\nEXPOSE 53/UDP\n",
    "FROM scratch\nEXPOSE 53/udp\n",
);

pub(super) static FROM_AS_CASING: Facts = rule(
    "The 'as' keyword should match the case of the 'from' keyword",
    "`FROM … AS …` reads as one instruction when both words are written alike. `--fix` writes the second as the first.",
    "FROM scratch as app\n",
    "FROM scratch AS app\n",
);

pub(super) static FROM_PLATFORM_FLAG_CONST_DISALLOWED: Facts = rule(
    "FROM --platform flag should not use a constant value",
    "A fixed platform takes the choice away from whoever builds: the stage has that platform even where another was asked for. Leave the flag out, or use an argument such as `$BUILDPLATFORM`. A stage whose name holds the platform is taken to mean it.",
    "FROM --platform=linux/amd64 scratch AS app\n",
    "FROM --platform=$BUILDPLATFORM scratch AS app\n",
);

pub(super) static INVALID_BASE_IMAGE_PLATFORM: Facts = rule(
    "Base image platform does not match expected target platform",
    "The image under that name was made for another platform than the one that is built for, so that its programs may not run. Pull the image for the right platform, or ask for its platform with `--platform`.",
    "FROM image-for-another-platform\n",
    "FROM image\n",
);

pub(super) static INVALID_DEFAULT_ARG_IN_FROM: Facts = rule(
    "Default value for global ARG results in an empty or invalid base image name",
    "Without `--build-arg` the name of the base comes out empty or is no name, so that the file only builds for those who know which arguments to give. Give the argument a default that works.",
    "ARG TAG\nFROM busybox:${TAG}\n",
    "ARG TAG=1.36\nFROM busybox:${TAG}\n",
);

pub(super) static INVALID_DEFINITION_DESCRIPTION: Facts = on_trial(rule(
    "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    "`--call=outline` and `--call=targets` show the comment directly above a stage or an argument, when it begins with its name, as its description. Begin the comment with the name, or put an empty line between.",
    "# check=experimental=InvalidDefinitionDescription\n# which release to fetch\nARG VERSION=1\nFROM scratch\n",
    "# check=experimental=InvalidDefinitionDescription\n# VERSION which release to fetch\nARG VERSION=1\nFROM scratch\n",
));

pub(super) static JSON_ARGS_RECOMMENDED: Facts = rule(
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    "In shell form the first process of the container is a shell, which does not hand signals on: `stop` waits until its time is over and then kills. Write a JSON array, or name the shell with `SHELL` where it is meant.",
    "FROM scratch\nENTRYPOINT /app --serve\n",
    "FROM scratch\nENTRYPOINT [\"/app\", \"--serve\"]\n",
);

pub(super) static LEGACY_KEY_VALUE_FORMAT: Facts = rule(
    "Legacy key/value format with whitespace separator should not be used",
    "`ENV name value` takes one pair only and makes everything up to the end of the line the value, which surprises. Write `name=value`; `--fix` does where no quotes or escapes stand in the value.",
    "FROM scratch\nENV DIR /var/lib/app\n",
    "FROM scratch\nENV DIR=/var/lib/app\n",
);

pub(super) static MAINTAINER_DEPRECATED: Facts = rule(
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    "A label can be asked for with `inspect` and filtered by. `--fix` writes `org.opencontainers.image.authors`, the name that others look for.",
    "FROM scratch\nMAINTAINER somebody@example.com\n",
    "FROM scratch\nLABEL org.opencontainers.image.authors=\"somebody@example.com\"\n",
);

pub(super) static MULTIPLE_INSTRUCTIONS_DISALLOWED: Facts = rule(
    "Multiple instructions of the same type should not be used in the same stage",
    "A stage has one `CMD`, one `ENTRYPOINT` and one `HEALTHCHECK`; of several the last counts and the others only mislead. `--fix` takes them out.",
    "FROM scratch\nCMD [\"/old\"]\nCMD [\"/new\"]\n",
    "FROM scratch\nCMD [\"/new\"]\n",
);

pub(super) static NO_EMPTY_CONTINUATION: Facts = rule(
    "Empty continuation lines will become errors in a future release",
    "An empty line within a continued instruction looks like its end but is none: what follows belongs to it. `--fix` takes such lines out.",
    "FROM scratch\nRUN one \\\n\n  two\n",
    "FROM scratch\nRUN one \\\n  two\n",
);

pub(super) static REDUNDANT_TARGET_PLATFORM: Facts = rule(
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    "A stage is built for the target platform unless it says otherwise. `--fix` takes the flag out.",
    "FROM --platform=$TARGETPLATFORM scratch\n",
    "FROM scratch\n",
);

pub(super) static RESERVED_STAGE_NAME: Facts = rule(
    "Reserved words should not be used as stage names",
    "`scratch` is the empty image and `context` the build's files. A stage of such a name hides them or cannot be reached.",
    "FROM busybox:1 AS scratch\nFROM scratch\n",
    "FROM busybox:1 AS tools\nFROM scratch\n",
);

pub(super) static SECRETS_USED_IN_ARG_OR_ENV: Facts = rule(
    "Sensitive data should not be used in the ARG or ENV commands",
    "Arguments and variables stand in the image's configuration and history, where everybody who has the image can read them. Hand secrets to the step that needs them with `RUN --mount=type=secret`. The rule goes by the name: a part of it is a word such as `password`, `secret`, `token` or `key`.",
    "FROM scratch\nARG AWS_SECRET_ACCESS_KEY\n",
    "FROM scratch\nRUN --mount=type=secret,id=aws,env=AWS_SECRET_ACCESS_KEY [\"/deploy\"]\n",
);

pub(super) static STAGE_NAME_CASING: Facts = rule(
    "Stage names should be lowercase",
    "Names of stages are compared without regard to case, and people expect those of images, which have small letters. `--fix` rewrites the name where it is given; `--from` and `--target` find it either way.",
    "FROM scratch AS Builder\n",
    "FROM scratch AS builder\n",
);

pub(super) static UNDEFINED_ARG_IN_FROM: Facts = rule(
    "FROM command must use declared ARGs",
    "`FROM` sees the arguments that an `ARG` before the first `FROM` declares, and the platform arguments. Anything else is empty.",
    "ARG ALPINE=3.20\nFROM busybox:1${ALPIN}\n",
    "ARG ALPINE=3.20\nFROM busybox:1${ALPINE}\n",
);

pub(super) static UNDEFINED_VAR: Facts = rule(
    "Variables should be defined before their use",
    "A variable that neither `ARG`, `ENV` nor the base image sets is empty, usually because its name is misspelt. Nothing is said where the base image is not known.",
    "FROM scratch\nARG FOO\nCOPY $FO .\n",
    "FROM scratch\nARG FOO\nCOPY $FOO .\n",
);

pub(super) static WORKDIR_RELATIVE_PATH: Facts = rule(
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    "A relative path begins at the folder that the base image sets, which another version of it may set elsewhere. Begin with an absolute path.",
    "FROM busybox:1\nWORKDIR app\n",
    "FROM busybox:1\nWORKDIR /app\n",
);
