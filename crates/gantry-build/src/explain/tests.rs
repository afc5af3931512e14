use super::inputs::{Content, File};
use super::*;

/// A build in memory: each step is `(text, inputs, result)`.
#[derive(Clone, Default)]
struct Build(Vec<Done>);

impl Build {
    fn base(mut self, result: &str) -> Self {
        self.push("FROM busybox", &[], result, Outcome::Base, 0, None);
        self
    }

    fn step(mut self, text: &str, key: &str, inputs: Inputs, seconds: u64) -> Self {
        let below = self.0.len() - 1;
        let result = format!("{key} done");
        let outcome = Outcome::Ran;
        self.push(
            text,
            &[below],
            &result,
            outcome,
            seconds,
            Some((key, inputs)),
        );
        self
    }

    fn push(
        &mut self,
        text: &str,
        inputs: &[usize],
        result: &str,
        outcome: Outcome,
        seconds: u64,
        own: Option<(&str, Inputs)>,
    ) {
        let number = self.0.len() + 1;
        let (key, worked_on) = own.unzip();
        self.0.push(Done {
            step: Step {
                key: key.map(str::to_owned),
                inputs: inputs.to_vec(),
                result: result.to_owned(),
                ..Step::named("", text)
            },
            name: format!("[{number}/9] {text}"),
            outcome,
            took: Some(Duration::from_secs(seconds)),
            inputs: worked_on.map(Arc::new),
            refused: false,
            damage: None,
        });
    }

    fn trace(&self) -> Trace {
        Trace {
            when: 5,
            steps: self.0.iter().map(|done| done.step.clone()).collect(),
        }
    }

    /// Compares with an earlier build.
    fn after(&self, earlier: &Build) -> Explanation {
        let inputs = |step: &Step| {
            let known = earlier.0.iter().find(|done| done.step.key == step.key)?;
            known.inputs.as_deref().cloned()
        };
        explain(&self.0, Some(&earlier.trace()), &inputs)
    }
}

fn copied(files: &[(&str, u32, &str)]) -> Inputs {
    let file = |(path, mode, content): &(&str, u32, &str)| File {
        path: (*path).to_owned(),
        mode: 0o100_000 | mode,
        owner: (0, 0),
        content: Content::Digest((*content).to_owned()),
    };
    Inputs {
        facts: Vec::new(),
        files: files.iter().map(file).collect(),
    }
}

fn told(facts: &[(What, &str, &str)]) -> Inputs {
    let fact = |(what, name, value): &(What, &str, &str)| inputs::Fact {
        what: *what,
        name: (*name).to_owned(),
        value: inputs::Value::Hidden((*value).to_owned()),
    };
    Inputs {
        facts: facts.iter().map(fact).collect(),
        files: Vec::new(),
    }
}

fn file(path: &str, change: Change, aspects: &[Aspect]) -> Reason {
    Reason::File {
        path: path.to_owned(),
        change,
        aspects: aspects.to_vec(),
    }
}

fn parent(step: &str) -> Reason {
    Reason::Parent {
        step: step.to_owned(),
    }
}

#[test]
fn the_files_that_changed_are_named_and_what_follows_follows() {
    let before = Build::default()
        .base("b")
        .step(
            "COPY . .",
            "c1",
            copied(&[("a", 0o644, "1"), ("b", 0o644, "1"), ("d", 0o644, "1")]),
            1,
        )
        .step("RUN make", "r1", Inputs::default(), 9);
    let now = Build::default()
        .base("b")
        .step(
            "COPY . .",
            "c2",
            copied(&[("a", 0o755, "2"), ("c", 0o644, "1"), ("d", 0o644, "1")]),
            1,
        )
        .step("RUN make", "r2", Inputs::default(), 9);
    let explained = now.after(&before);
    let mode = Aspect::Mode {
        was: "0644".into(),
        is: "0755".into(),
    };
    assert_eq!(
        explained.steps[1].reasons,
        [
            file("a", Change::Changed, &[Aspect::Content, mode]),
            file("b", Change::Removed, &[]),
            file("c", Change::Added, &[]),
        ]
    );
    assert_eq!(explained.steps[2].reasons, [parent("[2/9] COPY . .")]);
    assert_eq!(explained.first_divergent, Some(1));
    assert_eq!(explained.lost, Duration::from_secs(10));
    let advice = explained.advice.unwrap();
    assert_eq!(advice.moved, "[2/9] COPY . .");
    assert_eq!(advice.behind, "[3/9] RUN make");
    assert_eq!(advice.changed, ["a", "b", "c"]);
    assert_eq!(advice.saved, Duration::from_secs(9));
    assert_eq!(advice.total, Duration::from_secs(10));
}

#[test]
fn a_base_image_an_instruction_a_variable() {
    let before = Build::default()
        .base("b1")
        .step("RUN one", "1", told(&[(What::Variable, "V", "x")]), 1)
        .step("RUN two", "2", Inputs::default(), 1);
    let other_base = Build::default()
        .base("b2")
        .step("RUN one", "1b", told(&[(What::Variable, "V", "x")]), 1)
        .step("RUN two", "2b", Inputs::default(), 1);
    let explained = other_base.after(&before);
    assert!(
        matches!(&explained.steps[0].reasons[..], [Reason::Base { was, is }] if was.contains("b1") && is.contains("b2"))
    );
    assert_eq!(explained.first_divergent, Some(0));
    assert!(matches!(
        &explained.steps[1].reasons[..],
        [Reason::Base { .. }]
    ));
    assert_eq!(explained.advice, None, "nothing to move");
    let changed = Build::default()
        .base("b1")
        .step("RUN one", "1c", told(&[(What::Variable, "V", "y")]), 1)
        .step("RUN 2", "2c", Inputs::default(), 1)
        .step("RUN three", "3c", Inputs::default(), 1);
    let explained = changed.after(&before);
    let setting = Reason::Setting {
        what: What::Variable,
        name: "V".into(),
        change: Change::Changed,
        was: None,
        is: None,
    };
    assert_eq!(explained.steps[1].reasons, [setting]);
    let was = "RUN two".to_owned();
    assert_eq!(
        explained.steps[2].reasons,
        [Reason::Instruction { was }, parent("[2/9] RUN one")]
    );
    assert_eq!(explained.steps[3].reasons, [Reason::NewInstruction]);
}

#[test]
fn an_argument_that_steps_do_not_name_is_better_behind_them() {
    let build = |value: &str| {
        let told = || told(&[(What::Argument, "GIT", value)]);
        Build::default()
            .base("b")
            .step("RUN apt", &format!("1{value}"), told(), 40)
            .step("RUN pip", &format!("2{value}"), told(), 20)
            .step("RUN echo $GIT", &format!("3{value}"), told(), 2)
    };
    let advice = build("y").after(&build("x")).advice.unwrap();
    assert_eq!(advice.moved, "ARG GIT");
    assert_eq!(advice.behind, "[3/9] RUN pip");
    assert_eq!(advice.saved, Duration::from_secs(60));
    assert_eq!(advice.total, Duration::from_secs(62));
}

#[test]
fn no_advice_where_nothing_is_known_to_be_saved() {
    let build = |copy: &str, run: &str| {
        Build::default()
            .base("b")
            .step("COPY . .", copy, copied(&[("a", 0o644, copy)]), 1)
            .step(
                "RUN make",
                &format!("{copy}{run}"),
                told(&[(What::Variable, "V", run)]),
                40,
            )
    };
    // The step behind the copy changed for itself, too.
    assert_eq!(build("2", "y").after(&build("1", "x")).advice, None);
    assert!(build("2", "x").after(&build("1", "x")).advice.is_some());
}

#[test]
fn what_is_not_the_inputs_fault() {
    let before = Build::default()
        .base("b")
        .step("RUN one", "1", Inputs::default(), 1);
    let mut now = before.clone();
    assert_eq!(now.after(&before).steps[1].reasons, [Reason::Forgotten]);
    now.0[1].damage = Some("the mode of f has changed".into());
    let what = "the mode of f has changed".to_owned();
    assert_eq!(
        now.after(&before).steps[1].reasons,
        [Reason::Damaged { what }]
    );
    now.0[1].damage = None;
    now.0[1].refused = true;
    assert_eq!(now.after(&before).steps[1].reasons, [Reason::Refused]);
    now.0[1].refused = false;
    now.0[1].outcome = Outcome::Hit;
    let explained = now.after(&before);
    assert_eq!(explained.steps[1].reasons, []);
    assert_eq!(explained.first_divergent, None);
    assert_eq!(explained.saved, Duration::from_secs(1));
    let first = explain(&before.0, None, &|_| None);
    assert_eq!(first.steps[1].reasons, [Reason::FirstBuild]);
    assert_eq!(first.compared_with, None);
}

#[test]
fn the_document_of_an_explanation() {
    let before = Build::default()
        .base("b")
        .step("RUN one", "1", Inputs::default(), 1);
    let json = serde_json::to_value(before.after(&before)).unwrap();
    assert_eq!(json["comparedWith"], 5);
    assert_eq!(json["secondsLost"], 1.0);
    assert_eq!(json["steps"][1]["outcome"], "ran");
    assert_eq!(json["steps"][1]["seconds"], 1.0);
    assert_eq!(json["steps"][1]["reasons"][0]["kind"], "forgotten");
}
