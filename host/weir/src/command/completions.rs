//! `weir completions SHELL`: what a shell needs to complete this command line.

use super::{CommandLine, print};
use crate::failure::Failure;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print what a shell needs to complete weir's commands and options
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir completions bash > ~/.local/share/bash-completion/completions/weir
  weir completions zsh > ~/.zfunc/_weir          # with fpath+=~/.zfunc before compinit in ~/.zshrc
  weir completions fish > ~/.config/fish/completions/weir.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &CompletionsArguments) -> Result<(), Failure> {
    print(script(arguments.shell).trim_end())
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "weir", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_commands_and_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for word in ["lookup", "as-of", "template", "kafka"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
            for word in ["savepoint", "apply", "compile-plugin"] {
                let is_word =
                    |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '-').any(|at| at == word);
                let lines: Vec<&str> = script.lines().filter(|line| is_word(line)).collect();
                assert!(lines.is_empty(), "{shell}: {word}: {lines:?}");
            }
        }
    }
}
