//! What a file offers: its targets, and what can be given to the build of one of them.
//!
//! The lists are those of BuildKit's `targets` and `outline`.

use std::collections::{BTreeMap, BTreeSet};

use crate::argument::Scope;
use crate::ast::{ArgDeclaration, Dockerfile, Instruction, InstructionKind, MountSpec, Stage};
use crate::diagnostic::Diagnostic;
use crate::expand::{Variables, expand_declaration, expand_instruction, expand_word};
use crate::resolve::{Base, Source};
use crate::source::Span;

/// A stage that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name in small letters; `None`: it can only be reached by number or as the last one.
    pub name: Option<String>,
    /// Whether it is built where no target is asked for.
    pub is_default: bool,
    /// What the comment above says of it.
    pub description: Option<String>,
    /// The base as written.
    pub base: String,
    /// The platform as written.
    pub platform: Option<String>,
    /// Its `FROM`.
    pub span: Span,
}

/// What can be given to the build of one target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    /// The name of the stage in small letters.
    pub name: Option<String>,
    /// What the comment above it says.
    pub description: Option<String>,
    /// `--build-arg`, in the order of the file.
    pub arguments: Vec<Argument>,
    /// `--secret`, in the order of the file.
    pub secrets: Vec<Lent>,
    /// `--ssh`, in the order of the file.
    pub agents: Vec<Lent>,
}

/// An argument of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What the comment above says of it.
    pub description: Option<String>,
    /// The value given or the default, variables replaced.
    pub value: Option<String>,
    /// The `ARG` instruction.
    pub span: Span,
}

/// A secret or an agent that a step borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lent {
    /// Its id.
    pub name: String,
    /// Whether the build fails without it.
    pub required: bool,
    /// The instruction that borrows it first.
    pub span: Span,
}

/// The text behind the name in the first comment that begins with it.
fn description(comments: &[String], name: &str) -> Option<String> {
    comments
        .iter()
        .find_map(|comment| comment.strip_prefix(name)?.strip_prefix(' '))
        .map(str::to_owned)
}

impl Stage {
    fn described(&self) -> Option<String> {
        description(&self.comments, &self.normal_name()?)
    }
}

impl Dockerfile {
    /// Every stage, in the order of the file.
    pub fn targets(&self) -> Vec<Target> {
        let last = self.stages.len().saturating_sub(1);
        let target = |(index, stage): (usize, &Stage)| Target {
            name: stage.normal_name(),
            is_default: index == last,
            description: stage.described(),
            base: stage.base.value.clone(),
            platform: stage
                .platform
                .as_ref()
                .map(|platform| platform.value.clone()),
            span: stage.span,
        };
        self.stages.iter().enumerate().map(target).collect()
    }

    /// What can be given to the build of the stage at `target`. `arguments` are those of the
    /// client, the builder's own before them.
    ///
    /// # Errors
    /// A word that cannot be expanded, or a source that is no earlier stage.
    pub fn outline(
        &self,
        target: usize,
        arguments: &[(String, String)],
    ) -> Result<Outline, Diagnostic> {
        let mut reader = Reader::new(self, arguments)?;
        reader.stages(target)?;
        let stage = self.stages.get(target);
        let mut outline = Outline {
            name: stage.and_then(Stage::normal_name),
            description: stage.and_then(Stage::described),
            arguments: reader.arguments.into_values().collect(),
            secrets: reader.secrets.into_values().collect(),
            agents: reader.agents.into_values().collect(),
        };
        outline.secrets.sort_by_key(|secret| secret.span);
        outline.agents.sort_by_key(|agent| agent.span);
        Ok(outline)
    }

    /// The stages that the one at `target` is made from, itself among them, by index. `base`
    /// gives the base of a stage with variables replaced.
    pub fn needed_stages(
        &self,
        target: usize,
        base: &dyn Fn(usize) -> Option<String>,
    ) -> Vec<bool> {
        let mut needed = vec![false; self.stages.len()];
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            if needed.get(index).is_none_or(|known| *known) {
                continue;
            }
            needed[index] = true;
            if let Some(Base::Stage(earlier)) = base(index).map(|base| self.base_of(index, &base)) {
                open.push(earlier);
            }
            open.extend(self.stage_sources(index));
        }
        needed
    }

    /// The earlier stages that a stage takes files of.
    fn stage_sources(&self, index: usize) -> impl Iterator<Item = usize> {
        let names = self.stages[index].instructions.iter().flat_map(sources);
        names.filter_map(move |name| match self.source_of(index, name) {
            Ok(Source::Stage(earlier)) => Some(earlier),
            Ok(Source::External) | Err(_) => None,
        })
    }
}

/// Every `--from` of an instruction.
fn sources(instruction: &Instruction) -> Vec<&str> {
    match &instruction.kind {
        InstructionKind::Copy(copy) => copy.from.iter().map(|word| word.as_str()).collect(),
        InstructionKind::Run(run) => {
            let mounts = run.mounts.iter();
            mounts.filter_map(|mount| mount.spec.from()).collect()
        }
        _ => Vec::new(),
    }
}

/// Arguments by the place of their declaration.
type Arguments = BTreeMap<Span, Argument>;

/// An argument from above the first `FROM`.
struct Above {
    place: Span,
    argument: Argument,
    /// Those before it that its default asks for.
    needs: BTreeSet<String>,
}

struct Reader<'a> {
    file: &'a Dockerfile,
    given: &'a [(String, String)],
    global: Scope,
    /// What the `ARG`s above the first `FROM` declare, by name.
    above: BTreeMap<String, Above>,
    arguments: Arguments,
    secrets: BTreeMap<String, Lent>,
    agents: BTreeMap<String, Lent>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a Dockerfile, given: &'a [(String, String)]) -> Result<Self, Diagnostic> {
        let mut reader = Self {
            file,
            given,
            global: Scope::default(),
            above: BTreeMap::new(),
            arguments: BTreeMap::new(),
            secrets: BTreeMap::new(),
            agents: BTreeMap::new(),
        };
        for (name, value) in given {
            if crate::argument::PLATFORM_ARGUMENTS.contains(&name.as_str()) {
                reader.global.declare_argument(name, Some(value.clone()));
            }
        }
        for instruction in &file.meta_args {
            let InstructionKind::Arg(declarations) = &instruction.kind else {
                continue;
            };
            for declaration in declarations {
                let value = match reader.given(&declaration.name.value) {
                    Some(given) => Some(given),
                    None => reader.default(declaration, &reader.global)?,
                };
                let argument = argument(instruction, declaration, value.clone());
                let written = declaration
                    .default
                    .as_ref()
                    .map_or("", |word| word.as_str());
                let above = Above {
                    place: declaration.name.span,
                    needs: used(written, &reader.above),
                    argument,
                };
                reader.above.insert(declaration.name.value.clone(), above);
                reader
                    .global
                    .declare_argument(declaration.name.value.clone(), value);
            }
        }
        Ok(reader)
    }

    fn given(&self, name: &str) -> Option<String> {
        let mut all = self.given.iter().rev();
        all.find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    }

    fn default(
        &self,
        declaration: &ArgDeclaration,
        scope: &Scope,
    ) -> Result<Option<String>, Diagnostic> {
        let (expanded, _) = expand_declaration(declaration, scope, self.file.directives.escape)?;
        Ok(expanded.default.map(|default| default.value))
    }

    fn use_above(&mut self, names: impl IntoIterator<Item = String>) {
        let mut open: Vec<String> = names.into_iter().collect();
        while let Some(name) = open.pop() {
            let Some(above) = self.above.get(&name) else {
                continue;
            };
            let known = self.arguments.insert(above.place, above.argument.clone());
            if known.is_none() {
                open.extend(above.needs.iter().cloned());
            }
        }
    }

    /// Reads the stages that the one at `target` is made from, the earlier ones first.
    fn stages(&mut self, target: usize) -> Result<(), Diagnostic> {
        let file = self.file;
        let escape = file.directives.escape;
        let mut bases = Vec::new();
        for stage in &file.stages {
            bases.push(expand_word(&stage.base, &self.global, escape)?.word.value);
        }
        let needed = file.needed_stages(target, &|index| bases.get(index).cloned());
        let mut scopes: Vec<Scope> = vec![Scope::default(); file.stages.len()];
        for (index, stage) in file.stages.iter().enumerate() {
            if !needed[index] {
                continue;
            }
            self.use_above(used(&stage.base.value, &self.above));
            if let Some(platform) = &stage.platform {
                self.use_above(used(&platform.value, &self.above));
            }
            let mut scope = match file.base_of(index, &bases[index]) {
                Base::Stage(earlier) => scopes[earlier].clone(),
                Base::Scratch | Base::External => Scope::default(),
            };
            for instruction in &stage.instructions {
                self.instruction(instruction, &mut scope)?;
                for name in sources(instruction) {
                    file.source_of(index, name).map_err(|error| {
                        let code = crate::diagnostic::Code::UnknownStage;
                        Diagnostic::error(code, error.to_string(), instruction.span)
                    })?;
                }
            }
            scopes[index] = scope;
        }
        Ok(())
    }

    fn instruction(
        &mut self,
        instruction: &Instruction,
        scope: &mut Scope,
    ) -> Result<(), Diagnostic> {
        if let InstructionKind::Arg(declarations) = &instruction.kind {
            for declaration in declarations {
                self.declaration(instruction, declaration, scope)?;
            }
            return Ok(());
        }
        let expanded = expand_instruction(instruction, scope, self.file.directives.escape)?;
        match expanded.instruction.kind {
            InstructionKind::Env(pairs) => {
                for pair in pairs {
                    scope.set_environment(pair.key.value, pair.value.value);
                }
            }
            InstructionKind::Run(run) => {
                for mount in run.mounts {
                    let (lent, name, required) = match mount.spec {
                        MountSpec::Secret(secret) => {
                            (&mut self.secrets, secret.id, secret.required)
                        }
                        MountSpec::Ssh(agent) => {
                            let id = agent.id.unwrap_or_else(|| "default".to_owned());
                            (&mut self.agents, id, agent.required)
                        }
                        _ => continue,
                    };
                    let entry = lent.entry(name.clone()).or_insert(Lent {
                        name,
                        required,
                        span: instruction.span,
                    });
                    entry.required |= required;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn declaration(
        &mut self,
        instruction: &Instruction,
        declaration: &ArgDeclaration,
        scope: &mut Scope,
    ) -> Result<(), Diagnostic> {
        let name = declaration.name.value.clone();
        let given = self.given(&name);
        let value = match (&given, &declaration.default) {
            (Some(_), _) => given,
            (None, Some(_)) => self.default(declaration, scope)?,
            (None, None) => match self.global.value(&name).map(str::to_owned) {
                // The one above is the argument; this only brings it into the stage.
                Some(inherited) => {
                    self.use_above([name.clone()]);
                    scope.declare_argument(name, Some(inherited));
                    return Ok(());
                }
                None => None,
            },
        };
        let argument = argument(instruction, declaration, value.clone());
        self.arguments.insert(declaration.name.span, argument);
        scope.declare_argument(name, value);
        Ok(())
    }
}

fn argument(
    instruction: &Instruction,
    declaration: &ArgDeclaration,
    value: Option<String>,
) -> Argument {
    let name = declaration.name.value.clone();
    Argument {
        description: description(&instruction.comments, &name),
        name,
        value,
        span: instruction.span,
    }
}

/// The names among `known` that a word asks for.
fn used<T>(word: &str, known: &BTreeMap<String, T>) -> BTreeSet<String> {
    let names = word.split('$').skip(1).map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    });
    names
        .filter(|name| known.contains_key(*name))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
