//! Services of Compose files → targets (Compose specification, "Build"; Bake's extension
//! `x-bake`).

mod build;
mod dotenv;
mod interpolate;
mod merge;
mod value;
mod yaml;

use std::sync::Arc;

use gantry_dockerfile::SourceFile;

use crate::definitions::check_name;
use crate::error::{BakeError, Result};
use crate::surroundings::Surroundings;
use crate::target::Target;
use yaml::{Node, NodeKind};

pub use dotenv::dotenv;

/// Most services that extend one another.
const LONGEST_CHAIN: usize = 32;

/// Reads Compose files, later ones on top of earlier ones, and hands over a target for each
/// service that is built.
pub(crate) fn add(
    sources: &[Arc<SourceFile>],
    surroundings: &Surroundings,
    take: &mut dyn FnMut(String, Target),
) -> Result<()> {
    let mut project: Option<Node> = None;
    for source in sources {
        let document = interpolate::node(yaml::parse(source)?, surroundings)?;
        let document = with_long_services(document)?;
        if let Some(include) = document.member("include") {
            let error = BakeError::unsupported("include is not supported");
            let error = error.at(&include.source, include.span);
            return Err(error.with_hint("name the other files with -f"));
        }
        project = Some(match project {
            Some(earlier) => merge::merge(earlier, document),
            None => document,
        });
    }
    let Some(project) = project.map(merge::without_reset) else {
        return Ok(());
    };
    let Some(services) = project.member("services") else {
        return Ok(());
    };
    let mut names: Vec<&str> = services
        .members()?
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    for name in names {
        let service = extended(services, name, 0)?;
        if service.member("build").is_none_or(Node::is_null) {
            continue;
        }
        // Points are allowed in names of services, but not in those of targets.
        let target_name = name.replace('.', "_");
        check_name("service", &target_name)
            .map_err(|error| error.at(&service.source, service.span))?;
        take(
            target_name,
            build::target(&service, &project, surroundings)?,
        );
    }
    Ok(())
}

fn with_long_services(document: Node) -> Result<Node> {
    let NodeKind::Mapping(members) = document.kind else {
        return Err(document.fault("a Compose file is a mapping with services"));
    };
    let members = members
        .into_iter()
        .map(|(name, node)| match node.kind {
            NodeKind::Mapping(services) if name == "services" => {
                let services = services
                    .into_iter()
                    .map(|(name, service)| Ok((name, merge::long_form(service)?)))
                    .collect::<Result<_>>()?;
                Ok((
                    name,
                    Node {
                        kind: NodeKind::Mapping(services),
                        ..node
                    },
                ))
            }
            kind => Ok((name, Node { kind, ..node })),
        })
        .collect::<Result<_>>()?;
    Ok(Node {
        kind: NodeKind::Mapping(members),
        ..document
    })
}

/// A service on top of the one that it extends.
fn extended(services: &Node, name: &str, depth: usize) -> Result<Node> {
    let Some(service) = services.member(name) else {
        return Err(services.fault(format!("there is no service {name}")));
    };
    let Some(extends) = service
        .member("extends")
        .filter(|extends| !extends.is_null())
    else {
        return Ok(service.clone());
    };
    if depth >= LONGEST_CHAIN {
        let message = format!("more than {LONGEST_CHAIN} services extend one another");
        return Err(extends.fault(message));
    }
    let base = match &extends.kind {
        NodeKind::Scalar { text, .. } => text.clone(),
        _ => {
            if let Some(file) = extends.member("file") {
                let error = BakeError::unsupported("extends from another file is not supported");
                return Err(error.at(&file.source, file.span));
            }
            match extends.member("service") {
                Some(base) => value::text(base)?,
                None => return Err(extends.fault("extends needs a service")),
            }
        }
    };
    if services.member(&base).is_none() {
        return Err(extends.fault(format!("there is no service {base}")));
    }
    Ok(merge::merge(
        extended(services, &base, depth + 1)?,
        service.clone(),
    ))
}
