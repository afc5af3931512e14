//! What a file offers: its targets, and what can be given to the build of one of them.
//!
//! The lists are those of BuildKit's `targets` and `outline`.

use std::collections::{BTreeMap, BTreeSet};

use crate::argument::{PLATFORM_ARGUMENTS, Scope};
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
            arguments: reader.arguments(target),
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

/// An argument and the place of its name, which tells those of one instruction apart.
type Placed = (Span, Argument);

/// What is known of a stage that is needed.
#[derive(Default)]
struct Read {
    /// The variables at its end.
    scope: Scope,
    /// The arguments that it declares, and those from above that it uses, by name.
    arguments: BTreeMap<String, Placed>,
    /// The stages it is made from, its base first.
    sources: Vec<usize>,
}

/// An argument from above the first `FROM`.
struct Above {
    argument: Placed,
    /// Those before it that its default asks for.
    needs: BTreeSet<String>,
}

struct Reader<'a> {
    file: &'a Dockerfile,
    given: &'a [(String, String)],
    global: Scope,
    /// What the `ARG`s above the first `FROM` declare, by name.
    above: BTreeMap<String, Above>,
    stages: Vec<Read>,
    secrets: BTreeMap<String, Lent>,
    agents: BTreeMap<String, Lent>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a Dockerfile, arguments: &'a [(String, String)]) -> Result<Self, Diagnostic> {
        let mut reader = Self {
            file,
            given: &arguments[own(arguments)..],
            global: Scope::default(),
            above: BTreeMap::new(),
            stages: Vec::new(),
            secrets: BTreeMap::new(),
            agents: BTreeMap::new(),
        };
        for (name, value) in arguments {
            if PLATFORM_ARGUMENTS.contains(&name.as_str()) {
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
                    needs: reader.used(written),
                    argument: (declaration.name.span, argument),
                };
                let name = &declaration.name.value;
                reader.above.insert(name.clone(), above);
                // Without a value the builder's own stays.
                if value.is_some() || reader.global.value(name).is_none() {
                    reader.global.declare_argument(name.clone(), value);
                }
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

    /// The arguments from above that a word asks for. One without a value is not there.
    fn used(&self, word: &str) -> BTreeSet<String> {
        let names = word.split('$').skip(1).map(|rest| {
            let rest = rest.strip_prefix('{').unwrap_or(rest);
            let end = rest
                .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                .unwrap_or(rest.len());
            &rest[..end]
        });
        names
            .filter(|name| self.above.contains_key(*name) && self.global.value(name).is_some())
            .map(str::to_owned)
            .collect()
    }

    fn use_above(&self, names: impl IntoIterator<Item = String>, read: &mut Read) {
        let mut open: Vec<String> = names.into_iter().collect();
        while let Some(name) = open.pop() {
            let Some(above) = self.above.get(&name) else {
                continue;
            };
            let known = read.arguments.insert(name, above.argument.clone());
            if known.is_none() {
                open.extend(above.needs.iter().cloned());
            }
        }
    }

    /// Those of the stages that the one at `target` is made from, each name once: as the stage
    /// nearest to the target has it.
    fn arguments(&mut self, target: usize) -> Vec<Argument> {
        let mut found: BTreeMap<String, Placed> = BTreeMap::new();
        let mut open = vec![target];
        while let Some(read) = open.pop().and_then(|index| self.stages.get_mut(index)) {
            for (name, argument) in std::mem::take(&mut read.arguments) {
                found.entry(name).or_insert(argument);
            }
            open.extend(std::mem::take(&mut read.sources).into_iter().rev());
        }
        let mut found: Vec<Placed> = found.into_values().collect();
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, argument)| argument).collect()
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
        for (index, stage) in file.stages.iter().enumerate() {
            let mut read = Read::default();
            if needed[index] {
                self.use_above(self.used(&stage.base.value), &mut read);
                if let Some(platform) = &stage.platform {
                    self.use_above(self.used(&platform.value), &mut read);
                }
                if let Base::Stage(earlier) = file.base_of(index, &bases[index]) {
                    read.scope = self.stages[earlier].scope.clone();
                    read.sources.push(earlier);
                }
                read.sources.extend(file.stage_sources(index));
                for instruction in &stage.instructions {
                    self.instruction(instruction, &mut read)?;
                    for name in sources(instruction) {
                        file.source_of(index, name).map_err(|error| {
                            let code = crate::diagnostic::Code::UnknownStage;
                            Diagnostic::error(code, error.to_string(), instruction.span)
                        })?;
                    }
                }
            }
            self.stages.push(read);
        }
        Ok(())
    }

    fn instruction(
        &mut self,
        instruction: &Instruction,
        read: &mut Read,
    ) -> Result<(), Diagnostic> {
        if let InstructionKind::Arg(declarations) = &instruction.kind {
            for declaration in declarations {
                self.declaration(instruction, declaration, read)?;
            }
            return Ok(());
        }
        let scope = &mut read.scope;
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
        &self,
        instruction: &Instruction,
        declaration: &ArgDeclaration,
        read: &mut Read,
    ) -> Result<(), Diagnostic> {
        let name = declaration.name.value.clone();
        let given = self.given(&name);
        let value = match (&given, &declaration.default) {
            (Some(_), _) => given,
            (None, Some(_)) => self.default(declaration, &read.scope)?,
            (None, None) => match self.global.value(&name).map(str::to_owned) {
                // The one above is the argument; this only brings it into the stage.
                Some(inherited) => {
                    self.use_above([name.clone()], read);
                    read.scope.declare_argument(name, Some(inherited));
                    return Ok(());
                }
                None => None,
            },
        };
        let argument = argument(instruction, declaration, value.clone());
        let placed = (declaration.name.span, argument);
        read.arguments.insert(name.clone(), placed);
        read.scope.declare_argument(name, value);
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

/// How many of the arguments are the builder's own, which stand before the client's.
fn own(arguments: &[(String, String)]) -> usize {
    let mut known = BTreeSet::new();
    let names = arguments.iter().map(|(name, _)| name.as_str());
    names
        .take_while(|name| PLATFORM_ARGUMENTS.contains(name) && known.insert(*name))
        .count()
}

#[cfg(test)]
mod tests;
