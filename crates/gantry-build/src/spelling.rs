//! How a person gives a build what it lacks: by flags, or by attributes of the target of a Bake file.

use crate::error::BuildError;

/// Who is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Spelling {
    /// The target; without one the request was made of flags.
    target: Option<String>,
}

impl Spelling {
    /// How a request for this target is spelt; one made of flags without.
    pub(crate) fn of(target: Option<&String>) -> Self {
        Self {
            target: target.cloned(),
        }
    }

    /// Whether one of several targets is meant, that may have much in common.
    pub(crate) fn is_target(&self) -> bool {
        self.target.is_some()
    }

    /// What to do for a secret.
    pub(crate) fn secret(&self, id: &str) -> String {
        let value = format!("id={id},src=FILE");
        self.given("--secret", &value, &format!("secret = [{value:?}]"))
    }

    /// What to do for an SSH agent.
    pub(crate) fn agent(&self, id: &str) -> String {
        self.given("--ssh", id, &format!("ssh = [{id:?}]"))
    }

    /// What to do for the value of a build argument.
    pub(crate) fn argument(&self, name: &str) -> String {
        let attribute = format!("args = {{ {name} = \"…\" }}");
        self.given("--build-arg", &format!("{name}=…"), &attribute)
    }

    /// What to do for a privilege.
    pub(crate) fn entitlement(&self, name: &str) -> String {
        match &self.target {
            None => format!("--allow {name}"),
            Some(target) => format!(
                "entitlements = [{name:?}] in target {target}, and --allow {name} on the command line"
            ),
        }
    }

    /// The same failure, with the target that met it.
    pub(crate) fn told(&self, error: BuildError) -> BuildError {
        match &self.target {
            None => error,
            Some(target) => error.of_target(target),
        }
    }

    fn given(&self, flag: &str, value: &str, attribute: &str) -> String {
        match &self.target {
            None => format!("give it with {flag} {value}"),
            Some(target) => format!("give it in target {target}: {attribute}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_attributes() {
        let flags = Spelling::default();
        let target = Spelling::of(Some(&"web".to_owned()));
        assert_eq!(flags.secret("a"), "give it with --secret id=a,src=FILE");
        assert_eq!(
            target.secret("a"),
            "give it in target web: secret = [\"id=a,src=FILE\"]"
        );
        assert_eq!(
            target.agent("default"),
            "give it in target web: ssh = [\"default\"]"
        );
        assert_eq!(flags.argument("V"), "give it with --build-arg V=…");
        assert_eq!(flags.entitlement("device"), "--allow device");
        assert!(
            target
                .entitlement("device")
                .contains("entitlements = [\"device\"]")
        );
        let missing = || BuildError::NoDockerfile { path: "x".into() };
        assert!(
            flags
                .told(missing())
                .to_string()
                .starts_with("failed to read")
        );
        assert_eq!(target.told(missing()).to_string(), "target web");
    }
}
