//! The rules: their names, what they mean, and a page on each.

mod buildkit;
mod own;

use std::fmt;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::source::Span;

/// Who made a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// BuildKit: name, words and conditions are its own.
    BuildKit,
    /// Gantry.
    Gantry,
}

/// What is to be said about a rule.
#[derive(Debug)]
struct Facts {
    severity: Severity,
    /// Only looked for where `# check=experimental=` names it.
    experimental: bool,
    /// One sentence without a full stop.
    summary: &'static str,
    /// Why it matters and what to do.
    why: &'static str,
    /// A Dockerfile in which it is found.
    bad: &'static str,
    /// The same without it.
    good: &'static str,
}

const fn facts(
    severity: Severity,
    summary: &'static str,
    why: &'static str,
    bad: &'static str,
    good: &'static str,
) -> Facts {
    Facts {
        severity,
        experimental: false,
        summary,
        why,
        bad,
        good,
    }
}

macro_rules! rules {
    ($($origin:ident $facts:path => $name:ident,)*) => {
        /// A rule. [`Rule::summary`] says what it looks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "every rule has a page of its own")]
        pub enum Rule {
            $($name,)*
        }

        impl Rule {
            /// Every rule, those of BuildKit first, each group in the order of its names.
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$name),*];

            /// The name, as `# check=skip=` takes it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Who made it.
            pub fn origin(self) -> Origin {
                match self {
                    $(Self::$name => Origin::$origin,)*
                }
            }

            fn facts(self) -> &'static Facts {
                match self {
                    $(Self::$name => &$facts,)*
                }
            }
        }
    };
}

rules! {
    BuildKit buildkit::CONSISTENT_INSTRUCTION_CASING => ConsistentInstructionCasing,
    BuildKit buildkit::COPY_IGNORED_FILE => CopyIgnoredFile,
    BuildKit buildkit::DUPLICATE_STAGE_NAME => DuplicateStageName,
    BuildKit buildkit::EXPOSE_INVALID_FORMAT => ExposeInvalidFormat,
    BuildKit buildkit::EXPOSE_PROTO_CASING => ExposeProtoCasing,
    BuildKit buildkit::FROM_AS_CASING => FromAsCasing,
    BuildKit buildkit::FROM_PLATFORM_FLAG_CONST_DISALLOWED => FromPlatformFlagConstDisallowed,
    BuildKit buildkit::INVALID_BASE_IMAGE_PLATFORM => InvalidBaseImagePlatform,
    BuildKit buildkit::INVALID_DEFAULT_ARG_IN_FROM => InvalidDefaultArgInFrom,
    BuildKit buildkit::INVALID_DEFINITION_DESCRIPTION => InvalidDefinitionDescription,
    BuildKit buildkit::JSON_ARGS_RECOMMENDED => JSONArgsRecommended,
    BuildKit buildkit::LEGACY_KEY_VALUE_FORMAT => LegacyKeyValueFormat,
    BuildKit buildkit::MAINTAINER_DEPRECATED => MaintainerDeprecated,
    BuildKit buildkit::MULTIPLE_INSTRUCTIONS_DISALLOWED => MultipleInstructionsDisallowed,
    BuildKit buildkit::NO_EMPTY_CONTINUATION => NoEmptyContinuation,
    BuildKit buildkit::REDUNDANT_TARGET_PLATFORM => RedundantTargetPlatform,
    BuildKit buildkit::RESERVED_STAGE_NAME => ReservedStageName,
    BuildKit buildkit::SECRETS_USED_IN_ARG_OR_ENV => SecretsUsedInArgOrEnv,
    BuildKit buildkit::STAGE_NAME_CASING => StageNameCasing,
    BuildKit buildkit::UNDEFINED_ARG_IN_FROM => UndefinedArgInFrom,
    BuildKit buildkit::UNDEFINED_VAR => UndefinedVar,
    BuildKit buildkit::WORKDIR_RELATIVE_PATH => WorkdirRelativePath,
    Gantry own::ADD_INSTEAD_OF_COPY => AddInsteadOfCopy,
    Gantry own::APT_RECOMMENDS => AptRecommends,
    Gantry own::APT_UPDATE_ALONE => AptUpdateAlone,
    Gantry own::APT_WITHOUT_YES => AptWithoutYes,
    Gantry own::CD_INSTEAD_OF_WORKDIR => CdInsteadOfWorkdir,
    Gantry own::CLEAN_UP_IN_LATER_LAYER => CleanUpInLaterLayer,
    Gantry own::CMD_IGNORED => CmdIgnored,
    Gantry own::COMPILER_SHIPPED => CompilerShipped,
    Gantry own::COPY_BEFORE_INSTALL => CopyBeforeInstall,
    Gantry own::DOCKERIGNORE_INCOMPLETE => DockerignoreIncomplete,
    Gantry own::HEALTHCHECK_MISSING => HealthcheckMissing,
    Gantry own::LATEST_TAG => LatestTag,
    Gantry own::PACKAGE_CACHE_KEPT => PackageCacheKept,
    Gantry own::PIPE_WITHOUT_PIPEFAIL => PipeWithoutPipefail,
    Gantry own::ROOT_USER => RootUser,
    Gantry own::SECRET_VALUE => SecretValue,
    Gantry own::SEVERAL_PROCESSES => SeveralProcesses,
    Gantry own::SIGNALS_LOST => SignalsLost,
    Gantry own::SUDO_USED => SudoUsed,
    Gantry own::TAG_WITHOUT_DIGEST => TagWithoutDigest,
}

impl Rule {
    /// The rule of a name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|rule| rule.name().eq_ignore_ascii_case(name))
    }

    /// How bad it is to break it.
    pub fn severity(self) -> Severity {
        self.facts().severity
    }

    /// Whether it is only looked for where `# check=experimental=` asks for it.
    pub fn is_experimental(self) -> bool {
        self.facts().experimental
    }

    /// What it says, in one sentence without a full stop; for BuildKit's the description that
    /// its JSON carries.
    pub fn summary(self) -> &'static str {
        self.facts().summary
    }

    /// A Dockerfile in which it is found, and the same one mended.
    pub fn examples(self) -> (&'static str, &'static str) {
        (self.facts().bad, self.facts().good)
    }

    /// The address of the page that BuildKit's tools show; own rules have none.
    pub fn url(self) -> Option<String> {
        // BuildKit has no page on this one.
        let has_page = self.origin() == Origin::BuildKit && self != Self::InvalidBaseImagePlatform;
        has_page.then(|| {
            format!(
                "https://docs.docker.com/go/dockerfile/rule/{}/",
                kebab(self.name())
            )
        })
    }

    /// The page on it, in Markdown.
    pub fn page(self) -> String {
        let facts = self.facts();
        let (origin, skip) = match (self.origin(), facts.experimental) {
            (Origin::Gantry, _) => ("A rule of Gantry's own", String::new()),
            (Origin::BuildKit, false) => ("One of BuildKit's rules", String::new()),
            (Origin::BuildKit, true) => (
                "One of BuildKit's rules, on trial",
                format!(
                    " It is only looked for with `# check=experimental={}`.",
                    self.name()
                ),
            ),
        };
        format!(
            "# {name}\n\n{summary}.\n\n{origin}; severity: {severity}.{skip} To silence it: `# check=skip={name}` at the top of the file.\n\n{why}\n\nFound in:\n\n```dockerfile\n{bad}```\n\nNot in:\n\n```dockerfile\n{good}```\n",
            name = self.name(),
            summary = facts.summary.trim_end_matches('.'),
            severity = facts.severity.as_str(),
            why = facts.why,
            bad = facts.bad,
            good = facts.good,
        )
    }

    /// A complaint of this rule.
    pub(crate) fn at(self, message: impl Into<String>, span: Span) -> Diagnostic {
        Diagnostic {
            severity: self.severity(),
            ..Diagnostic::warning(Code::Lint(self), message, span)
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// `JSONArgsRecommended` → `json-args-recommended`
fn kebab(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let after_lower = at > 0 && letters[at - 1].is_lowercase();
        let ends_capitals = at > 0 && letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_lower || ends_capitals) {
            out.push('-');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Origin, Rule, kebab};

    #[test]
    fn pages_have_addresses_of_small_letters() {
        assert_eq!(kebab("JSONArgsRecommended"), "json-args-recommended");
        assert_eq!(kebab("UndefinedVar"), "undefined-var");
        let url = Rule::FromAsCasing.url();
        assert!(url.is_some_and(|url| url.ends_with("/from-as-casing/")));
        assert_eq!(Rule::RootUser.url(), None);
    }

    #[test]
    fn rules_have_one_name_each_in_order() {
        for origin in [Origin::BuildKit, Origin::Gantry] {
            let own = Rule::ALL.into_iter().filter(|rule| rule.origin() == origin);
            let names: Vec<&str> = own.map(Rule::name).collect();
            assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
        }
        for rule in Rule::ALL {
            assert_eq!(Rule::named(&rule.name().to_lowercase()), Some(rule));
        }
        assert_eq!(Rule::named("Nothing"), None);
    }
}
