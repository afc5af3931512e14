//! Builds and delivers: all targets as one graph, each to its outputs.

use std::sync::Arc;

use gantry_build::{
    BaseImages, BuildError, BuildRequest, Builder, Cancellation, FailureShell, Fetched, Outside,
    Reporter,
};
use gantry_engine::Engine;
use gantry_engine::caches::CachePlace;
use gantry_model::ContainerSpec;
use gantry_runtime::Confinement;

use super::attest::{self, Attest, Witness};
use super::authorities;
use super::bases::EngineBases;
use super::bounds::Bounds;
use super::caches::{self, CacheTo, Imported, Leaving};
use super::deliver::{Delivered, Delivery};
use super::devices::EngineDevices;
use super::outputs::{self, Output, Shorthands};
use super::{BuildArgs, explain, failure, interrupt, request, squash};
use crate::commands::builder::cache;
use crate::context::Context;
use crate::failure::{CommandError, Failure};
use crate::flags::environment;
use crate::output::progress::build::{BuildDisplay, Mode};
use crate::output::progress::palette::Palette;

/// A target, what becomes of it, and the caches that it shares.
#[derive(Debug)]
pub(in crate::commands::builder) struct Order {
    request: BuildRequest,
    pub(in crate::commands::builder) outputs: Vec<Output>,
    from: Vec<CachePlace>,
    to: Vec<CacheTo>,
    attest: Attest,
    squash: bool,
    bounds: Bounds,
}

impl Order {
    /// The order of a request that the same flags gave.
    pub(in crate::commands::builder) fn of(
        args: &BuildArgs,
        request: BuildRequest,
    ) -> Result<Self, Failure> {
        let tags = request::tags(&args.tag)?;
        let shorthands = Shorthands {
            push: args.push,
            load: args.load,
            annotations: &args.annotation,
            tags: &tags,
        };
        let order = Self {
            request,
            outputs: outputs::parse(&args.output, shorthands)?,
            from: caches::sources(&args.cache_from)?,
            to: caches::targets(&args.cache_to)?,
            attest: attest::parse(
                &args.attest,
                args.provenance.as_deref(),
                args.sbom.as_deref(),
            )?,
            squash: args.squash,
            bounds: Bounds::default(),
        };
        caches::check(&order.to, &order.outputs, order.squash)?;
        attest::check(&order.attest, &order.outputs)?;
        Ok(order)
    }

    /// The same, whose outputs and caches do not leave these bounds.
    pub(in crate::commands::builder) fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }
}

/// How builds are made and shown.
pub(in crate::commands::builder) struct Way<'w> {
    pub(in crate::commands::builder) mode: Mode,
    pub(in crate::commands::builder) explain: Option<explain::Format>,
    /// `--ca-certificates`.
    pub(in crate::commands::builder) trusted: Option<&'w str>,
    /// What is done when a step fails.
    pub(in crate::commands::builder) shell: Option<&'w dyn FailureShell>,
    /// The security options, resources and parent of cgroups that `RUN` steps get, as those of a
    /// container.
    pub(in crate::commands::builder) confinement: ContainerSpec,
    /// Whether nothing is noted for later builds.
    pub(in crate::commands::builder) unrecorded: bool,
}

impl Way<'_> {
    /// An ordinary build, shown in this mode.
    pub(in crate::commands::builder) fn shown(mode: Mode) -> Self {
        Self {
            mode,
            explain: None,
            trusted: None,
            shell: None,
            confinement: ContainerSpec::default(),
            unrecorded: false,
        }
    }
}

/// Builds and delivers all orders; what left stands in their order.
pub(in crate::commands::builder) fn all(
    context: &Context,
    way: Way<'_>,
    orders: Vec<Order>,
) -> Result<Vec<Delivered>, Failure> {
    let engine = context.engine()?;
    let bases = EngineBases::new(engine);
    watched(context, way, &bases, |builder, display| {
        make(builder, engine, orders, display)
    })
}

/// What the context of a request is the address of.
pub(in crate::commands::builder) fn fetched(
    context: &Context,
    mode: Mode,
    request: &BuildRequest,
) -> Result<Fetched, Failure> {
    let bases = EngineBases::new(context.engine()?);
    watched(context, Way::shown(mode), &bases, |builder, display| {
        gantry_build::fetch(&builder, request, &Reporter::new(display))
            .map_err(|error| Unmade::Build(Box::new(error)))
    })
}

/// Does something with a builder while people watch it and may stop it.
pub(in crate::commands::builder) fn watched<T>(
    context: &Context,
    way: Way<'_>,
    bases: &dyn BaseImages,
    work: impl FnOnce(Builder<'_>, &BuildDisplay) -> Result<T, Unmade>,
) -> Result<T, Failure> {
    let Way {
        mode,
        explain,
        trusted,
        shell,
        confinement,
        unrecorded,
    } = way;
    let engine = context.engine()?;
    let roots = || engine.roots().ok();
    let (confinement, unfit) = engine.containers().confinement(&confinement)?;
    for warning in &unfit {
        context.ui.warning(warning);
    }
    let builder = Builder {
        unrecorded,
        confinement,
        explain: explain.is_some(),
        housekeeping: cache::housekeeping(engine, &roots),
        failure_shell: shell,
        ..builder(engine, bases, trusted)?
    };
    let display = BuildDisplay::new(mode, palette(context), context.ui.debug());
    let cancellation = builder.cancellation.clone();
    let built = interrupt::guarded(&cancellation, || {
        display.show(|| work(builder, &display), Result::is_err)
    })?;
    if let Some(explanation) = display.explanation() {
        explain::show(context, explain, mode, &explanation)?;
    }
    built.map_err(|unmade| match unmade {
        Unmade::Build(error) => failure(context, *error),
        Unmade::Delivery(failure) => failure,
    })
}

/// The colours of the progress, where it may have any.
pub(super) fn palette(context: &Context) -> Option<Palette> {
    let asked = environment::caller("BUILDKIT_COLORS").unwrap_or_default();
    let (palette, unknown) = Palette::parse(&asked);
    for part in unknown {
        let text = format!("BUILDKIT_COLORS: {part:?} is no NAME=COLOUR that is known");
        context.ui.warning(&text);
    }
    context.ui.color().then_some(palette)
}

/// What builds work with; `trusted` is `--ca-certificates`.
pub(super) fn builder<'b>(
    engine: &Engine,
    bases: &'b dyn BaseImages,
    trusted: Option<&str>,
) -> Result<Builder<'b>, Failure> {
    Ok(Builder {
        store: engine.store()?.clone(),
        bases,
        devices: Arc::new(EngineDevices(engine.step_devices())),
        outside: outside(engine, trusted)?,
        borrowed: None,
        named: false,
        root: engine.root().to_owned(),
        run_root: engine.run_root().to_owned(),
        confinement: Confinement::default(),
        processes: engine.config().builder.pids_limit,
        parallelism: None,
        explain: false,
        housekeeping: None,
        failure_shell: None,
        unrecorded: false,
        cancellation: Cancellation::new().map_err(CommandError::file("prepare", "the build"))?,
    })
}

/// How builds reach outside, and whom they trust there: whom the flag names, else the configuration.
fn outside(engine: &Engine, trusted: Option<&str>) -> Result<Outside, Failure> {
    let environment = environment::all();
    let configured = engine.config().builder.ca_certificates.as_deref();
    let authorities = authorities::file(trusted.or(configured), &environment)?;
    Ok(Outside {
        environment,
        authorities,
    })
}

/// Why there is no result.
pub(in crate::commands::builder) enum Unmade {
    Build(Box<BuildError>),
    Delivery(Failure),
}

fn make(
    builder: Builder<'_>,
    engine: &Engine,
    mut orders: Vec<Order>,
    display: &BuildDisplay,
) -> Result<Vec<Delivered>, Unmade> {
    let reporter = Reporter::new(display);
    let from: Vec<CachePlace> = orders
        .iter_mut()
        .flat_map(|order| order.from.drain(..))
        .collect();
    let imported = Imported::read(engine, &from, &reporter);
    let builder = Builder {
        borrowed: (!from.is_empty()).then_some(&imported),
        named: orders.iter().any(|order| !order.to.is_empty()),
        ..builder
    };
    let requests: Vec<BuildRequest> = orders.iter().map(|order| order.request.clone()).collect();
    let began = jiff::Timestamp::now();
    let mut outcome = gantry_build::build(&builder, &requests, &reporter)
        .map_err(|error| Unmade::Build(Box::new(error)))?;
    let mut all = Vec::with_capacity(orders.len());
    for (order, target) in orders.iter().zip(&mut outcome.targets) {
        let of = (&outcome.steps[..], &outcome.records[..]);
        caches::write_inline(&order.to, of, target);
        let epoch = order.request.build_args.get("SOURCE_DATE_EPOCH");
        let epoch: Option<i64> = epoch.and_then(|seconds| seconds.parse().ok());
        let squashed = order
            .squash
            .then(|| squash::target(engine, target, &reporter))
            .transpose()
            .map_err(Unmade::Delivery)?;
        let delivery = Delivery {
            engine,
            target: squashed.as_ref().unwrap_or(target),
            epoch,
            bounds: &order.bounds,
            reporter: &reporter,
            witness: Witness {
                attest: &order.attest,
                request: &order.request,
                steps: &outcome.steps,
                began: epoch.is_none().then_some(began),
            },
        };
        let deliver = || {
            let delivered = delivery.all(&order.outputs)?;
            let leaving = Leaving {
                engine,
                steps: &outcome.steps,
                records: &outcome.records,
                mounts: &outcome.mounts,
                imported: &imported,
                bounds: &order.bounds,
                cancellation: &builder.cancellation,
                reporter: &reporter,
            };
            leaving.write(&order.to, target)?;
            Ok(delivered)
        };
        all.push(deliver().map_err(Unmade::Delivery)?);
    }
    if let (Some(housekeeping), true) = (builder.housekeeping, outcome.executed > 0) {
        // What the images have does not count to the cache any more.
        let cache = cache::of(engine).map_err(Unmade::Delivery)?;
        cache.make_room(housekeeping, 0);
    }
    Ok(all)
}
