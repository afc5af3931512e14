//! What is told of files that are wrong, and of files that mean harm.

use gantry_bake::{BakeError, File, Request, Surroundings, evaluate};
use proptest::prelude::*;

fn bake_as(name: &str, bytes: impl Into<Vec<u8>>) -> Result<gantry_bake::Baked, BakeError> {
    let request = Request {
        files: vec![File {
            name: name.to_owned(),
            bytes: bytes.into(),
        }],
        ..Request::default()
    };
    evaluate(&request, &Surroundings::default())
}

fn bake(text: &str) -> Result<gantry_bake::Baked, BakeError> {
    bake_as("docker-bake.hcl", text)
}

#[test]
fn errors_tell_the_line_and_what_to_do() {
    for (text, line, wanted) in [
        ("target \"default\" {\n  tags = [\"a\"\n}\n", 3, "`]`"),
        ("\nx = \n", 2, "an expression is expected"),
        ("x = 'a'\n", 1, "an expression is expected"),
        ("x = \"a\n\"\n", 1, "the line ends inside a text"),
        ("x = <<END\nabc\n", 1, "not ended by a line END"),
        ("x = \"${1 +}\"\n", 1, "an expression is expected"),
        ("x = \"%{ if true }a\"\n", 1, "without %{ endif }"),
        ("x = 1\nx = 2\n", 2, "x is set twice"),
        ("tagret \"a\" {}\n", 1, "(did you mean target?)"),
        ("target {}\n", 1, "a block target has one name"),
        ("target \"a.b\" {}\n", 1, "cannot be called"),
        (
            "target \"default\" {\n  tagz = []\n}\n",
            2,
            "(did you mean tags?)",
        ),
        (
            "target \"default\" {\n  policy = []\n}\n",
            2,
            "not supported",
        ),
        (
            "target \"default\" {\n  args = 5\n}\n",
            2,
            "map of string required",
        ),
        (
            "target \"default\" {\n  args = { a = [] }\n}\n",
            2,
            "element \"a\": string required",
        ),
        (
            "target \"default\" {\n  output = [\"name=x,push=true\"]\n}\n",
            2,
            "type is required",
        ),
        (
            "target \"default\" {\n  tags = [TAGG]\n}\nvariable \"TAG\" {}\n",
            2,
            "(did you mean TAG?)",
        ),
        ("x = uper(\"a\")\n", 1, "(did you mean upper?)"),
        ("x = upper()\n", 1, "upper takes 1 argument, not 0"),
        ("x = join(\",\",\n  5)\n", 2, "list of string required"),
        ("x = [1][3]\n", 1, "there is no element 3"),
        ("x = {a = 1}.b\n", 1, "there is no attribute b"),
        ("x = 1 / 0\n", 1, "division by zero"),
        ("x = true ? 1 : true\n", 1, "without anything in common"),
        ("a = b\nb = c\nc = a\n", 3, "depends on itself"),
        (
            "function \"f\" {\n  params = [x]\n  result = f(x)\n}\ny = f(1)\n",
            3,
            "the function f calls itself",
        ),
        (
            "function \"upper\" {\n  params = []\n  result = 1\n}\n",
            1,
            "in the standard library",
        ),
        (
            "target \"a\" {\n  tags = target.b.tags\n}\ntarget \"b\" {\n  tags = target.a.tags\n}\n",
            5,
            "depends on itself",
        ),
        (
            "target \"a\" {\n  matrix = { x = 5 }\n}\n",
            2,
            "must be a list",
        ),
        (
            "target \"a\" {\n  matrix = { x = [1, 2] }\n}\n",
            1,
            "two targets of this matrix",
        ),
        (
            "target \"a\" {\n  name = \"b\"\n}\n",
            2,
            "name needs a matrix",
        ),
        (
            "variable \"V\" {\n  type = strin\n}\n",
            2,
            "a type is one of",
        ),
        (
            "variable \"V\" {\n  default = 1\n  validation {\n    condition = V > 1\n    error_message = \"too small: ${V}\"\n  }\n}\n",
            4,
            "validation failed: too small: 1",
        ),
    ] {
        let error = bake(text).expect_err(text);
        let place = error.place().unwrap_or_else(|| panic!("{text}: {error}"));
        let rendered = error.rendered().unwrap();
        assert!(rendered.contains(wanted), "{text}: {rendered}");
        assert_eq!(place.source.line_at(place.span.start), line, "{rendered}");
    }
    let rendered = bake("x = uper(\"a\")\n").unwrap_err().rendered().unwrap();
    insta::assert_snapshot!(rendered, @r#"
    docker-bake.hcl:1
    --------------------
       1 | >>> x = uper("a")
         |         ^^^^
    --------------------
    error: there is no function uper (did you mean upper?)
    "#);
}

#[test]
fn json_and_compose_files_tell_the_line_too() {
    for (name, text, line, wanted) in [
        (
            "a.json",
            "{\n \"target\": {\"default\": {\"tags\": [}}}",
            2,
            "a JSON value",
        ),
        (
            "a.json",
            "{\n \"target\": {\"default\": {\"tags\": [\"${X}\"]}}}",
            2,
            "no variable X",
        ),
        (
            "a.json",
            "{\"x\":\n\"${1 +}\"}",
            2,
            "an expression is expected",
        ),
        (
            "a.yml",
            "services:\n  a:\n    build:\n      contxt: x\n",
            4,
            "(did you mean context?)",
        ),
        ("a.yml", "services:\n  a: [\n", 2, "this is no YAML"),
        (
            "a.yml",
            "services:\n  a:\n    image: ${X?gone}\n    build: .\n",
            3,
            "gone",
        ),
        (
            "a.yml",
            "services:\n  a:\n    extends: b\n    build: .\n",
            3,
            "there is no service b",
        ),
        (
            "a.yml",
            "services:\n  a:\n    extends: a\n    build: .\n",
            3,
            "extend one another",
        ),
        (
            "a.yml",
            "services:\n  a:\n    build:\n      secrets: [s]\n",
            4,
            "no secret s",
        ),
        (
            "a.yml",
            "services:\n  a:\n    build:\n      isolation: hyperv\n",
            4,
            "not supported",
        ),
        (
            "a.yml",
            "include: [b.yml]\nservices: {}\n",
            1,
            "not supported",
        ),
    ] {
        let error = bake_as(name, text).expect_err(text);
        let place = error.place().unwrap_or_else(|| panic!("{text}: {error}"));
        let rendered = error.rendered().unwrap();
        assert!(rendered.contains(wanted), "{text}: {rendered}");
        assert_eq!(place.source.line_at(place.span.start), line, "{rendered}");
    }
}

#[test]
fn what_takes_too_much_is_refused() {
    let doubling: String = (0..60)
        .map(|n| format!("x{} = [x{n}, x{n}]\n", n + 1))
        .collect();
    let texts: String = (0..60)
        .map(|n| format!("x{} = \"${{x{n}}}${{x{n}}}\"\n", n + 1))
        .collect();
    let chain: String = (0..5000).map(|n| format!("x{n} = x{}\n", n + 1)).collect();
    let nested =
        |open: &str, close: &str| format!("x = {}1{}\n", open.repeat(50_000), close.repeat(50_000));
    let loops = "for a in range(1000): ".to_owned();
    let axis = "[for i in range(1000): i]";
    let inheriting: String = (0..5000)
        .map(|n| format!("target \"t{n}\" {{\n inherits = [\"t{}\"]\n}}\n", n + 1))
        .collect();
    let aliases: String = (0..40)
        .map(|n| format!("x-{}: &a{} [*a{n}, *a{n}]\n", n + 1, n + 1))
        .collect();
    for (name, text) in [
        ("a.hcl", format!("x0 = [1, 1]\n{doubling}")),
        ("a.hcl", format!("x0 = \"xx\"\n{texts}")),
        ("a.hcl", format!("{chain}x5000 = 1\n")),
        ("a.hcl", nested("[", "]")),
        ("a.hcl", nested("(", ")")),
        ("a.hcl", nested("{a=", "}")),
        ("a.hcl", nested("-", "")),
        ("a.hcl", nested("!", "")),
        ("a.hcl", nested("1+", "")),
        ("a.hcl", nested("true ? 1 : ", "")),
        ("a.hcl", nested("\"${", "}\"")),
        ("a.hcl", nested("f(", ")")),
        ("a.hcl", "a {\n".repeat(50_000)),
        (
            "a.hcl",
            format!("x = \"{}\"\n", "%{ if true }".repeat(50_000)),
        ),
        ("a.hcl", format!("x = [{loops}[{loops}[{loops}1]]]\n")),
        ("a.hcl", "x = range(1e9)\n".to_owned()),
        ("a.hcl", "x = format(\"%999999999d\", 1)\n".to_owned()),
        ("a.hcl", "x = indent(1000000000, \"a\\nb\")\n".to_owned()),
        ("a.hcl", "x = 10e999999999\n".to_owned()),
        ("a.hcl", "x = pow(10, 400)\n".to_owned()),
        (
            "a.hcl",
            "x = setproduct(range(1000), range(1000), range(1000))\n".to_owned(),
        ),
        ("a.hcl", "x = bcrypt(\"x\", 31)\n".to_owned()),
        (
            "a.hcl",
            "x = regex(\"(a{1000}){1000}\", \"a\")\n".to_owned(),
        ),
        (
            "a.hcl",
            format!(
                "target \"a\" {{\n matrix = {{ a = {axis}, b = {axis} }}\n name = \"x${{a}}-${{b}}\"\n}}\n"
            ),
        ),
        (
            "a.hcl",
            format!(
                "{inheriting}target \"t5000\" {{}}\ntarget \"default\" {{\n inherits = [\"t0\"]\n}}\n"
            ),
        ),
        (
            "a.json",
            format!("{{\"x\": {}1{}}}", "[".repeat(50_000), "]".repeat(50_000)),
        ),
        ("a.yml", "[".repeat(50_000)),
        ("a.yml", format!("x-0: &a0 [1]\n{aliases}services: {{}}\n")),
    ] {
        let beginning: String = text.chars().take(60).collect();
        assert!(bake_as(name, text).is_err(), "{beginning}");
    }
}

#[test]
fn bytes_that_are_no_text_are_told() {
    let error = bake_as("docker-bake.hcl", b"x = \"\xff\"".to_vec()).unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[test]
fn links_that_lead_nowhere_or_around_are_told() {
    for (contexts, wanted) in [
        ("target:default", "cannot link to itself"),
        ("target:other", "infinite loop"),
        ("target:gone", "failed to find target gone"),
    ] {
        let text = format!(
            "target \"default\" {{\n contexts = {{ a = \"{contexts}\" }}\n}}\n\
             target \"other\" {{\n contexts = {{ b = \"target:default\" }}\n}}\n"
        );
        let error = bake(&text).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

/// Words that make most random texts nearly right.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "target", "group", "variable", "function", "\"a\"", "{", "}", "[", "]", "(", ")", "=",
        "\n", "for", "in", "if", ":", "=>", "...", ",", ".", "*", "${", "%{", "~", "\"", "<<E\n",
        "E\n", "x", "1", "1.5", "+", "-", "/", "%", "?", "&&", "null", "true", "join", "upper",
        "endif", "else", "endfor", "\\", "$${", "é", " ", "#", "/*", "*/", "matrix", "tags",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.join(""))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(text in words(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for name in ["a.hcl", "a.json", "a.yml"] {
            drop(bake_as(name, text.as_str()));
            drop(bake_as(name, bytes.clone()));
        }
        drop(bake_as("a.hcl", format!("x = {text}")));
        drop(bake_as("a.hcl", format!("x = \"{text}\"")));
        drop(bake_as("a.json", format!("{{\"x\": {}}}", serde_json::Value::from(text.as_str()))));
        drop(bake_as("a.yml", format!("services:\n  a:\n    build:\n      context: {text}\n")));
    }
}
