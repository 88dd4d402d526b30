//! The documentation is true: each README's tour is typed word for word, and the answers are those that it shows.
//!
//! A tour is what stands in the ```` ```console ```` blocks of a page: lines that begin with `$ ` are typed, a line
//! that ends in `\` goes on in the next, a text after `<<'END'` goes on up to that word. The rest is answered, and
//! `..` stands for what differs from run to run (as a line of its own: for any lines). `weir serve` goes on while the
//! rest is typed. Port 8080, which others may have, is another one here.

use crate::harness::{Project, free_port, repository, wait_for, weir};
use crate::services::kafka;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is typed, and what is answered.
#[derive(Debug, PartialEq)]
struct Step {
    typed: String,
    answer: String,
}

/// The steps of a page, in order.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut goes_on) = (false, false);
    for line in page.lines() {
        match line.trim_end() {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            line => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(typed), _) => steps.push(Step { typed: typed.to_owned(), answer: String::new() }),
                (None, Some(step)) if goes_on => step.typed.extend(["\n", line]),
                (None, Some(step)) => step.answer.extend([line, "\n"]),
                (None, None) => panic!("a tour begins with `$ `, not with {line}"),
            },
        }
        goes_on = inside && steps.last().is_some_and(|step| line.ends_with('\\') || holds_open(&step.typed));
    }
    steps
}

/// Whether a text is typed in (`<<'END'`) and its end has not come.
fn holds_open(typed: &str) -> bool {
    typed.contains("<<'END'") && !typed.ends_with("\nEND")
}

/// Whether an answer is the one that is shown, where `..` stands for anything.
fn is_answer(shown: &str, answer: &str) -> bool {
    let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
    let answer: Vec<&str> = answer.lines().map(str::trim_end).collect();
    lines_match(&shown, &answer)
}

fn lines_match(shown: &[&str], answer: &[&str]) -> bool {
    match (shown, answer) {
        ([], []) => true,
        (["..", rest @ ..], _) => (0..=answer.len()).any(|skipped| lines_match(rest, &answer[skipped..])),
        ([line, rest @ ..], [found, others @ ..]) => line_matches(line, found) && lines_match(rest, others),
        _ => false,
    }
}

fn line_matches(shown: &str, found: &str) -> bool {
    let mut parts = shown.split("..");
    let Some(mut left) = parts.next().and_then(|first| found.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
        last = Some(part);
    }
    // What stands after the last `..` is the line's end.
    left.is_empty() || last.is_some_and(|part| part.is_empty() || left.ends_with(part))
}

/// A shell in which a tour is typed.
struct Shell {
    home: Project,
    folder: PathBuf,
    /// What the pages say, and what stands for it here.
    replaced: Vec<(String, String)>,
    server: Option<Child>,
}

impl Shell {
    fn new() -> Shell {
        let home = Project::new();
        std::fs::create_dir(home.path().join("bin")).expect("a folder for commands");
        std::os::unix::fs::symlink(weir(), home.path().join("bin/weir")).expect("a link to weir");
        let replaced = vec![("127.0.0.1:8080".to_owned(), format!("127.0.0.1:{}", free_port()))];
        Shell { folder: home.path().to_owned(), home, replaced, server: None }
    }

    /// Makes a command that stands on the way of this shell.
    fn add_command(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.home.path().join("bin").join(name);
        std::fs::write(&path, script).expect("a command can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    }

    /// Types every step of a page.
    #[track_caller]
    fn take(&mut self, page: &str, at_least: usize) {
        let steps = steps(page);
        assert!(steps.len() >= at_least, "the tour has only {} steps", steps.len());
        for step in steps {
            if step.typed.starts_with("weir serve") {
                self.serve(&step);
            } else {
                self.type_in(&step);
            }
        }
    }

    fn command(&self, typed: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut bash = Command::new("bash");
        bash.args(["-c", typed])
            .current_dir(&self.folder)
            .env("PATH", format!("{}:{path}", self.home.path().join("bin").display()))
            .env("WEIR_SERVER", format!("http://{}", self.replaced[0].1))
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        bash
    }

    #[track_caller]
    fn type_in(&mut self, step: &Step) {
        let end = self.home.path().join("end");
        let typed = self.here(&step.typed);
        let script = format!("exec 2>&1\n{typed}\nstatus=$?\npwd > '{}'\nexit $status", end.display());
        let output = self.command(&script).output().expect("bash runs");
        let answer = self.there(&String::from_utf8_lossy(&output.stdout));
        assert!(
            is_answer(&step.answer, &answer),
            "$ {}\nshown:\n{}\nanswered ({}):\n{answer}",
            step.typed,
            step.answer,
            output.status
        );
        self.folder = PathBuf::from(std::fs::read_to_string(end).expect("a working folder").trim());
        self.replace_in_files(self.home.path());
    }

    /// `weir serve` goes on in a shell of its own; its answer is its log, until it is ready.
    #[track_caller]
    fn serve(&mut self, step: &Step) {
        self.stop_server();
        let log = self.home.path().join("serve.log");
        let file = std::fs::File::create(&log).expect("a log file");
        let both = (file.try_clone().expect("a second handle"), file);
        let mut command = self.command(&format!("exec {}", step.typed));
        let child = command.stdout(both.0).stderr(both.1).spawn().expect("weir starts");
        let server = self.server.insert(child);
        let ready = format!("http://{}/readyz", self.replaced[0].1);
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_for("the server of the tour to be ready", Duration::from_secs(120), || {
            if let Some(status) = server.try_wait().expect("a child can be asked") {
                panic!("{} ended with {status}:\n{}", step.typed, said());
            }
            ureq::get(&ready).call().ok()
        });
        let said = self.there(&said());
        assert!(is_answer(&step.answer, &said), "$ {}\nshown:\n{}\nlogged:\n{said}", step.typed, step.answer);
    }

    fn stop_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Already gone where the tour stopped it.
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    fn here(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (page, here)| text.replace(page, here))
    }

    fn there(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (page, here)| text.replace(here, page))
    }

    /// Addresses in definitions and scripts that a step has made.
    fn replace_in_files(&self, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.ends_with(".weir") && !path.ends_with("target") {
                self.replace_in_files(&path);
            } else if ["yaml", "py"].contains(&ending.as_str()) {
                let text = std::fs::read_to_string(&path).expect("a definition is text");
                if self.here(&text) != text {
                    std::fs::write(&path, self.here(&text)).expect("a definition can be written");
                }
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.stop_server();
    }
}

/// Makes a project of a template and takes the tour of its README.
#[track_caller]
fn tour_of_template(shell: &mut Shell, template: &str, at_least: usize) {
    let made = format!("weir init project --template {template}\ncd project");
    shell.type_in(&Step { typed: made, answer: "..".to_owned() });
    let page = std::fs::read_to_string(shell.folder.join("README.md")).expect("a project has a README");
    shell.take(&page, at_least);
}

#[test]
fn the_tour_of_the_readme() {
    let page = std::fs::read_to_string(repository().join("README.md")).expect("the README");
    let mut shell = Shell::new();
    // It is taken in the repository's folder, of which it needs the sample plugins.
    std::fs::create_dir(shell.folder.join("plugins")).expect("a folder");
    std::os::unix::fs::symlink(repository().join("plugins/dist"), shell.folder.join("plugins/dist"))
        .expect("a link to the sample plugins");
    shell.take(&page, 12);
}

#[test]
fn the_tour_of_the_rides_template() {
    tour_of_template(&mut Shell::new(), "rides", 5);
}

#[test]
fn the_tour_of_the_http_template() {
    tour_of_template(&mut Shell::new(), "http", 6);
}

#[test]
fn the_tour_of_the_files_template() {
    tour_of_template(&mut Shell::new(), "files", 6);
}

#[test]
fn the_tour_of_the_python_template() {
    tour_of_template(&mut Shell::new(), "python", 5);
}

#[test]
fn the_tour_of_the_kafka_template() {
    let broker = kafka::Broker::start();
    let mut shell = Shell::new();
    shell.replaced.push(("127.0.0.1:9092".to_owned(), broker.address.clone()));
    let script = repository().join("tests/services/kafka");
    for tool in ["kafka-topics.sh", "kafka-console-producer.sh"] {
        shell.add_command(tool, &format!("#!/bin/sh\nexec '{}' tool {tool} \"$@\"\n", script.display()));
    }
    tour_of_template(&mut shell, "kafka", 6);
}

#[test]
fn an_answer_is_compared_word_for_word() {
    let page = "a\n```console\n$ one \\\n  two\nx\n..\ny\n```\n$ not typed\n```console\n$ three\n```\n";
    let step = |typed: &str, answer: &str| Step { typed: typed.to_owned(), answer: answer.to_owned() };
    assert_eq!(steps(page), [step("one \\\n  two", "x\n..\ny\n"), step("three", "")]);
    for (shown, answer, wanted) in [
        ("a\n..\nb", "a\nb", true),
        ("a\n..\nb", "a\n1\n2\nb", true),
        ("a\n..\nb", "a\nb\nc", false),
        ("x=.. ok", "x=3 ok", true),
        ("x=.. ok", "x=3 ok?", false),
        ("x=3", "x=31", false),
        ("", "x", false),
        ("x", "", false),
    ] {
        assert_eq!(is_answer(shown, answer), wanted, "{shown:?} {answer:?}");
    }
}
