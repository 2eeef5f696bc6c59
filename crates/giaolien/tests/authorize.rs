//! `giaolien authorize`: decisions over Cedar files, as scripts meet them.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const POLICIES: &str = r#"
@id("readers")
permit (principal in Group::"readers", action == Action::"read", resource);
permit (principal == User::"an", action, resource) when { context.level >= 2 };
@id("closed")
forbid (principal, action, resource) when { resource.closed };
"#;
const ENTITIES: &str = r#"[
  {"uid": {"type": "User", "id": "an"}, "attrs": {}, "parents": [{"type": "Group", "id": "readers"}]},
  {"uid": {"type": "File", "id": "1"}, "attrs": {"closed": false}, "parents": []},
  {"uid": {"type": "File", "id": "2"}, "attrs": {"closed": true}, "parents": []}
]"#;
const SCHEMA: &str = r#"
entity Group;
entity User in [Group];
entity File = { closed: Bool };
action read appliesTo { principal: User, resource: File, context: { level?: Long } };
"#;

/// A folder with the files of a command.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("p.cedar", POLICIES);
        files.write("e.json", ENTITIES);
        files.write("r.json", &request("an", "1", "{}"));
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// Runs the command and checks everything it leaves.
    #[track_caller]
    fn check(&self, more: &[&str], code: i32, stdout: &str, stderr: &str) {
        let output = Command::new(env!("CARGO_BIN_EXE_giaolien"))
            .args("authorize --policies p.cedar --entities e.json --request r.json".split(' '))
            .args(more)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!((output.status.code(), out.trim_end()), (Some(code), stdout), "{err}");
        match stderr {
            "" => assert_eq!(err, ""),
            start => assert!(err.starts_with(start), "expected {start}, got {err}"),
        }
    }
}

fn request(user: &str, file: &str, context: &str) -> String {
    format!(
        r#"{{"principal": "User::\"{user}\"", "action": "Action::\"read\"",
            "resource": {{"type": "File", "id": "{file}"}}, "context": {context}}}"#
    )
}

#[test]
fn one_request_ends_with_its_decision() {
    let files = Files::new();
    // The second policy errs: there is no level.
    let allowed = r#"{"decision":"allow","reason":["readers"],"errors":["policy1"]}"#;
    files.check(&[], 0, allowed, "");
    files.write("r.json", &request("an", "1", r#"{"level": 2}"#));
    files.check(&[], 0, r#"{"decision":"allow","reason":["policy1","readers"],"errors":[]}"#, "");
    files.write("r.json", &request("an", "2", r#"{"level": 2}"#));
    files.check(&[], 2, r#"{"decision":"deny","reason":["closed"],"errors":[]}"#, "");
    // Nobody knows the user or the file; an attribute that is not there is an error.
    files.write("r.json", &request("bo", "3", "{}"));
    files.check(&[], 2, r#"{"decision":"deny","reason":[],"errors":["closed"]}"#, "");
}

#[test]
fn an_array_is_decided_line_by_line() {
    let files = Files::new();
    let requests = [request("an", "2", r#"{"level": 1}"#), request("an", "1", r#"{"level": 1}"#)];
    files.write("r.json", &format!("[{}]", requests.join(",")));
    let lines = [
        r#"{"decision":"deny","reason":["closed"],"errors":[]}"#,
        r#"{"decision":"allow","reason":["readers"],"errors":[]}"#,
    ];
    files.check(&[], 0, &lines.join("\n"), "");
    files.write("r.json", "[]");
    files.check(&[], 0, "", "");
}

#[test]
fn policies_may_be_json_with_templates_and_links() {
    let files = Files::new();
    let template = r#"{"effect": "permit", "principal": {"op": "==", "slot": "?principal"},
        "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": []}"#;
    let link = r#"{"templateId": "t", "newId": "for-an",
        "values": {"?principal": {"type": "User", "id": "an"}}}"#;
    let set = format!(
        r#"{{"staticPolicies": {{}}, "templates": {{"t": {template}}}, "templateLinks": [{link}]}}"#
    );
    files.write("p.cedar", &set);
    files.check(&[], 0, r#"{"decision":"allow","reason":["for-an"],"errors":[]}"#, "");
    files.write("r.json", &request("bo", "1", "{}"));
    files.check(&[], 2, r#"{"decision":"deny","reason":[],"errors":[]}"#, "");
}

#[test]
fn a_schema_holds_for_policies_entities_and_requests() {
    let files = Files::new();
    files.write("s.cedarschema", SCHEMA);
    let schema = ["--schema", "s.cedarschema"];
    // The second policy reads what may be missing.
    files.check(&schema, 1, "", "p.cedar:4:");
    let guarded = POLICIES.replace("context.level", "context has level && context.level");
    files.write("p.cedar", &guarded);
    files.check(&schema, 0, r#"{"decision":"allow","reason":["readers"],"errors":[]}"#, "");
    files.write("r.json", &request("an", "1", r#"{"level": "high"}"#));
    files.check(&schema, 1, "", "r.json:1:1: request 0: ");
    files.write("r.json", &request("an", "1", "{}"));
    files.write("e.json", &ENTITIES.replace("false", "7"));
    files.check(&schema, 1, "", "e.json: ");
    files.write("s.cedarschema", "entity User in [Group;");
    files.check(&schema, 1, "", "s.cedarschema:1:");
}

#[test]
fn bad_input_has_a_place() {
    let files = Files::new();
    files.write("p.cedar", "permit (principal, action, resource);\npermit (principal, action;\n");
    files.check(&[], 1, "", "p.cedar:2:");
    files.write("p.cedar", POLICIES);
    files.write("e.json", "[{]");
    files.check(&[], 1, "", "e.json:1:3: found key must be a string, expected JSON");
    files.write("e.json", r#"[{"uid": 7}]"#);
    files.check(&[], 1, "", "e.json: ");
    files.write("e.json", ENTITIES);
    files.write("r.json", "");
    files.check(&[], 1, "", "r.json:1:1: found EOF while parsing a value, expected JSON");
    files.write("r.json", &format!("[{},\n {{\"principal\": 1}}]", request("an", "1", "{}")));
    files.check(&[], 1, "", "r.json:3:2: request 1: principal: ");
    fs::remove_file(files.0.path().join("r.json")).unwrap();
    files.check(&[], 1, "", "error: read `r.json`: No such file");
    files.check(&["--polices", "x"], 1, "", "error: unexpected argument '--polices'");
}
