//! JSON-RPC 2.0 with a program over its standard input and output, as editors speak with their servers.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::stage::PATIENCE;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A head with `Content-Length`, as the Language Server Protocol has it.
    Head,
    /// One message a line, as the Agent Client Protocol has it.
    Line,
}

/// A program that is talked to. Killed when dropped.
pub(crate) struct Rpc {
    child: Child,
    output: Output,
    inbox: Arc<Inbox>,
    last_id: Mutex<u64>,
}

#[derive(Clone)]
struct Output {
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    framing: Framing,
}

#[derive(Default)]
struct Inbox {
    mail: Mutex<Mail>,
    changed: Condvar,
}

#[derive(Default)]
struct Mail {
    answers: HashMap<u64, Value>,
    told: Vec<Value>,
    complaints: String,
    ended: bool,
}

impl Rpc {
    pub(crate) fn start(mut command: Command, framing: Framing) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Output { stdin: Arc::new(Mutex::new(child.stdin.take())), framing };
        let inbox = Arc::new(Inbox::default());
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (reader, back) = (Arc::clone(&inbox), output.clone());
        std::thread::spawn(move || reader.fill(BufReader::new(stdout), &back));
        let complaints = Arc::clone(&inbox);
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            complaints.change(|mail| mail.complaints = text);
        });
        Self { child, output, inbox, last_id: Mutex::new(0) }
    }

    /// Asks and waits for the answer: its `result`, or its `error`.
    pub(crate) fn ask(&self, method: &str, params: Value) -> Result<Value, Value> {
        let id = {
            let mut last = self.last_id.lock().unwrap();
            *last += 1;
            *last
        };
        let mut question = json!({"jsonrpc": "2.0", "id": id, "method": method});
        question["params"] = params;
        self.output.send(&question);
        let mut answer = self.inbox.wait_for(method, |mail| mail.answers.remove(&id));
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Asks for what must not fail.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        self.ask(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub(crate) fn notify(&self, method: &str, params: Value) {
        let mut note = json!({"jsonrpc": "2.0", "method": method});
        note["params"] = params;
        self.output.send(&note);
    }

    /// Waits until the program has told something that `pick` wants.
    pub(crate) fn wait_for(&self, what: &str, pick: impl Fn(&Value) -> bool) -> Value {
        self.inbox.wait_for(what, |mail| mail.told.iter().find(|told| pick(told)).cloned())
    }

    /// Closes the program's input, without which some do not end, and waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.output.stdin.lock().unwrap().take();
        self.inbox.wait_for("the end of the program", |mail| mail.ended.then_some(Value::Null));
        self.child.wait().unwrap()
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let mail = self.inbox.mail();
            let told: Vec<_> = mail.told.iter().map(Value::to_string).collect();
            println!("the client told:\n{}\n{}", told.join("\n"), mail.complaints);
        }
    }
}

impl Output {
    fn send(&self, message: &Value) {
        let text = match self.framing {
            Framing::Head => {
                let body = message.to_string();
                format!("Content-Length: {}\r\n\r\n{body}", body.len())
            }
            Framing::Line => format!("{message}\n"),
        };
        if let Some(stdin) = self.stdin.lock().unwrap().as_mut() {
            // A program that has gone cannot be told; the wait for its answer says so.
            let _ = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush());
        }
    }
}

impl Inbox {
    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Mail)) {
        change(&mut self.mail());
        self.changed.notify_all();
    }

    fn fill(&self, mut stdout: impl BufRead, back: &Output) {
        while let Some(message) = next(&mut stdout, back.framing) {
            match (message.get("method"), message["id"].as_u64()) {
                (Some(_), None) => self.change(|mail| mail.told.push(message)),
                (Some(method), Some(id)) => {
                    let result = if method == "workspace/configuration" { json!([{}]) } else { Value::Null };
                    back.send(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
                }
                (None, Some(id)) => self.change(|mail| drop(mail.answers.insert(id, message))),
                (None, None) => {}
            }
        }
        self.change(|mail| mail.ended = true);
    }

    fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&mut Mail) -> Option<T>) -> T {
        let mut mail = self.mail();
        loop {
            if let Some(found) = look(&mut mail) {
                return found;
            }
            assert!(!mail.ended, "the program has ended: {what}\n{}", mail.complaints);
            let (again, waited) = self.changed.wait_timeout(mail, PATIENCE).unwrap();
            mail = again;
            assert!(!waited.timed_out(), "waited in vain: {what}");
        }
    }
}

fn next(stdout: &mut impl BufRead, framing: Framing) -> Option<Value> {
    let mut length = None;
    let mut line = String::new();
    loop {
        line.clear();
        if stdout.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if framing == Framing::Line {
            return serde_json::from_str(&line).ok();
        }
        match (line.trim().strip_prefix("Content-Length:"), length) {
            (Some(value), _) => length = value.trim().parse().ok(),
            (None, Some(length)) if line.trim().is_empty() => {
                let mut body = vec![0; length];
                stdout.read_exact(&mut body).ok()?;
                return serde_json::from_slice(&body).ok();
            }
            _ => {}
        }
    }
}
