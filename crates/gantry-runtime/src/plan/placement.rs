//! When and where a process runs (OCI runtime-spec, `config.md` "Linux Process" and
//! `config-linux.md` "Memory policy").

use gantry_sys::scheduling::{self, Scheduling};
use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxIOPriority, LinuxMemoryPolicy, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, Process, Scheduler,
};

use crate::error::PlanError;

/// When and where a process runs. What is not given stays as the caller's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    pub scheduling: Option<Scheduling>,
    /// Class and level.
    pub io_priority: Option<(u8, u8)>,
    /// Mode with flags, and nodes.
    pub memory: Option<(i32, Vec<u32>)>,
    /// The processors of an exec'd process before it is in the cgroup, and then.
    pub initial_processors: Option<Vec<u32>>,
    pub final_processors: Option<Vec<u32>>,
}

impl Placement {
    /// What the document's `process` says.
    pub(super) fn of(document: &Process) -> Result<Placement, PlanError> {
        let affinity = document.exec_cpu_affinity().as_ref();
        let list = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(|text| list("process.execCPUAffinity", text))
                .transpose()
        };
        Ok(Placement {
            scheduling: document.scheduler().as_ref().map(scheduling).transpose()?,
            io_priority: document
                .io_priority()
                .as_ref()
                .map(io_priority)
                .transpose()?,
            memory: None,
            initial_processors: affinity.map_or(Ok(None), |own| list(own.initial()))?,
            final_processors: affinity.map_or(Ok(None), |own| list(own.cpu_affinity_final()))?,
        })
    }
}

/// More processors and nodes than any kernel has.
const MOST: u32 = 8192;

fn list(field: &'static str, text: &str) -> Result<Vec<u32>, PlanError> {
    scheduling::parse_list(text, MOST)
        .ok_or_else(|| invalid(field, text, "is no list of ranges like 0-2,7"))
}

fn invalid(field: &'static str, value: impl ToString, reason: &'static str) -> PlanError {
    PlanError::Invalid {
        field,
        value: value.to_string(),
        reason,
    }
}

fn scheduling(document: &Scheduler) -> Result<Scheduling, PlanError> {
    let policy = match document.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let nice = document.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(invalid("process.scheduler.nice", nice, "is not -20 to 19"));
    }
    let priority = document.priority().unwrap_or(0);
    Ok(Scheduling {
        policy,
        flags: document.flags().iter().flatten().map(flag).sum(),
        nice,
        priority: u32::try_from(priority)
            .map_err(|_| invalid("process.scheduler.priority", priority, "is less than 0"))?,
        runtime: document.runtime().unwrap_or(0),
        deadline: document.deadline().unwrap_or(0),
        period: document.period().unwrap_or(0),
    })
}

fn io_priority(document: &LinuxIOPriority) -> Result<(u8, u8), PlanError> {
    let class = match document.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let priority = document.priority();
    match u8::try_from(priority) {
        Ok(level) if level < 8 => Ok((class, level)),
        _ => Err(invalid(
            "process.ioPriority.priority",
            priority,
            "is not 0 to 7",
        )),
    }
}

/// The container's `linux.memoryPolicy`: mode with flags, and nodes.
pub(super) fn memory(linux: &Linux) -> Result<Option<(i32, Vec<u32>)>, PlanError> {
    let Some(document) = linux.memory_policy() else {
        return Ok(None);
    };
    let nodes = match document
        .nodes()
        .as_deref()
        .filter(|nodes| !nodes.is_empty())
    {
        Some(nodes) => list("linux.memoryPolicy.nodes", nodes)?,
        None => Vec::new(),
    };
    Ok(Some((mode(document), nodes)))
}

fn mode(document: &LinuxMemoryPolicy) -> i32 {
    let mode = match document.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
    };
    document
        .flags()
        .iter()
        .flatten()
        .map(flag)
        .fold(mode, |mode, flag| mode | flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(text: &str) -> Result<Placement, PlanError> {
        let whole = format!(r#"{{"user":{{"uid":0,"gid":0}},"cwd":"/","args":["x"],{text}}}"#);
        Placement::of(&serde_json::from_str(&whole).unwrap())
    }

    #[test]
    fn words_become_numbers() {
        let got = process(
            r#""scheduler":{"policy":"SCHED_BATCH","nice":5,"flags":["SCHED_FLAG_RECLAIM"]},
            "ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":7},
            "execCPUAffinity":{"initial":"0","final":"0-1"}"#,
        )
        .unwrap();
        let scheduling = got.scheduling.unwrap();
        assert_eq!(
            (scheduling.policy, scheduling.nice, scheduling.flags),
            (3, 5, 2)
        );
        assert_eq!(got.io_priority, Some((3, 7)));
        assert_eq!(got.initial_processors, Some(vec![0]));
        assert_eq!(got.final_processors, Some(vec![0, 1]));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            r#""scheduler":{"policy":"SCHED_OTHER","nice":20}"#,
            r#""scheduler":{"policy":"SCHED_FIFO","priority":-1}"#,
            r#""ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8}"#,
        ] {
            assert!(process(text).is_err(), "{text}");
        }
    }

    #[test]
    fn policies_of_memory() {
        let linux: Linux = serde_json::from_str(
            r#"{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0,2","flags":["MPOL_F_STATIC_NODES"]}}"#,
        )
        .unwrap();
        let want = (2 | 1 << 15, vec![0, 2]);
        assert_eq!(memory(&linux).unwrap(), Some(want));
    }
}
