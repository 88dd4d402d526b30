//! A running `weir serve` of a test.

use super::project::{Project, weir};
use super::wait_for;
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

/// A server that is killed with the test.
pub(crate) struct Server {
    child: Child,
    url: String,
    agent: ureq::Agent,
}

impl Server {
    /// Starts `weir serve` on a free port of loopback (the project's `weir.yaml` must not name one) and waits until
    /// it answers.
    #[track_caller]
    pub(crate) fn start(project: &Project, settings: &str) -> Server {
        Server::start_with(project, settings, &[])
    }

    /// The same, with these arguments behind the folder.
    #[track_caller]
    pub(crate) fn start_with(project: &Project, settings: &str, arguments: &[&str]) -> Server {
        let port = free_port();
        project.file("weir.yaml", &format!("listen: 127.0.0.1:{port}\n{settings}"));
        let log = std::fs::File::options().create(true).append(true).open(project.path().join("serve.log"));
        let child = project
            .command("serve", arguments)
            .stdout(Stdio::null())
            .stderr(log.expect("a log file"))
            .spawn()
            .expect("weir starts");
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build();
        let mut server = Server { child, url: format!("http://127.0.0.1:{port}"), agent: config.into() };
        wait_for("the server to answer", Duration::from_secs(60), || {
            if let Some(status) = server.child.try_wait().expect("a child can be asked") {
                let log = std::fs::read_to_string(project.path().join("serve.log")).unwrap_or_default();
                panic!("weir serve ended with {status}:\n{log}");
            }
            server.try_get("/healthz").filter(|(status, _)| *status == 200)
        });
        server
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let mut response = self.agent.get(format!("{}{path}", self.url)).call().ok()?;
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).ok()?;
        Some((response.status().as_u16(), text))
    }

    /// GET: the status and the body as text.
    #[track_caller]
    pub(crate) fn get_text(&self, path: &str) -> (u16, String) {
        self.try_get(path).expect("the server answers")
    }

    /// GET: the status and the JSON body.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let (status, text) = self.get_text(path);
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// POST: the status and the JSON body.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
        let response = self.agent.post(format!("{}{path}", self.url)).send(body.as_ref());
        let mut response = response.expect("the server answers");
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).expect("a body");
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// POST with a header: the status and the JSON body.
    #[track_caller]
    pub(crate) fn post_with(
        &self,
        path: &str,
        (name, value): (&str, &str),
        body: impl AsRef<[u8]>,
    ) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.url)).header(name, value);
        let mut response = request.send(body.as_ref()).expect("the server answers");
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).expect("a body");
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// GET: the status, the headers and the body as it is.
    #[track_caller]
    pub(crate) fn get_bytes(&self, path: &str) -> (u16, ureq::http::HeaderMap, Vec<u8>) {
        let response = self.agent.get(format!("{}{path}", self.url)).call();
        let mut response = response.expect("the server answers");
        let mut bytes = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut bytes).expect("a body");
        (response.status().as_u16(), response.headers().clone(), bytes)
    }

    /// DELETE: the status and the JSON body.
    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> (u16, Value) {
        let response = self.agent.delete(format!("{}{path}", self.url)).call();
        let mut response = response.expect("the server answers");
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).expect("a body");
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Waits until every job has applied what was durable at its start.
    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        wait_for("the server to be ready", Duration::from_secs(120), || {
            self.try_get("/readyz").filter(|(status, _)| *status == 200)
        });
    }

    /// `weir ARGUMENTS --server URL`: the exit code, and everything that it says.
    #[track_caller]
    pub(crate) fn weir(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = std::process::Command::new(weir())
            .args(arguments)
            .args(["--server", &self.url])
            .output()
            .expect("weir starts");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), text.concat())
    }

    /// Sends a signal by its name, such as `HUP`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent =
            std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// How many of its threads have this name.
    #[track_caller]
    pub(crate) fn threads(&self, name: &str) -> usize {
        self.named(name).len()
    }

    /// What its threads of this name have taken of processors so far, in ticks (of 10 ms).
    #[track_caller]
    pub(crate) fn processor_time(&self, name: &str) -> u64 {
        let of_thread = |folder: &PathBuf| {
            let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
            // Behind the name, which stands in brackets: the state, ten numbers, then user and system time.
            let numbers: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(numbers.get(11)?.parse::<u64>().ok()? + numbers.get(12)?.parse::<u64>().ok()?)
        };
        self.named(name).iter().filter_map(of_thread).sum()
    }

    /// Folders of the threads of this name.
    #[track_caller]
    fn named(&self, name: &str) -> Vec<PathBuf> {
        let tasks =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux lists threads");
        let has_name = |folder: &PathBuf| {
            std::fs::read_to_string(folder.join("comm")).is_ok_and(|of| of.trim_end() == name)
        };
        tasks.filter_map(|task| Some(task.ok()?.path())).filter(has_name).collect()
    }

    /// Waits until a job's status has what is wanted.
    #[track_caller]
    pub(crate) fn wait_for_job(&self, job: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, Duration::from_secs(60), || {
            let (_, status) = self.get(&format!("/v1/jobs/{job}"));
            wanted(&status).then_some(status)
        })
    }

    /// kill -9, at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// SIGTERM: the last checkpoint, then the exit status.
    #[track_caller]
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        wait_for("the server to stop", Duration::from_secs(60), || {
            self.child.try_wait().expect("a child can be asked")
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `kill` and `terminate`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of loopback that nobody has.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound port").port()
}
