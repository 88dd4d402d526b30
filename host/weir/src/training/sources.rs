//! What training reads: the logs of streams up to where they end, and files that no stream is of.

use crate::failure::Failure;
use crate::kinds::in_words;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::{FileLayout, NoMark, Source};
use weir_connectors::context::SourceContext;
use weir_connectors::http::IngestLogs;
use weir_connectors::registry;
use weir_connectors::surroundings::ProjectSurroundings;
use weir_engine::{ArchiveSource, EngineError, InputSource, SharedLook, cuts};
use weir_event::{Clock, StreamSchema};
use weir_format::payload::PayloadPlugins;
use weir_format::{StreamFormat, stream_format};
use weir_plan::definition::Archive;
use weir_plan::{JobPlan, StreamInput, StreamOrigin};
use weir_train::{Archived, Input, Job};

/// Longer than any log has been: what is read is not to be deleted for its age.
const FOR_EVER: &str = "36500d";

/// Makes sources for whoever only reads.
pub(super) struct Sources {
    project: PathBuf,
    data_dir: PathBuf,
    scratch: PathBuf,
    clock: Arc<dyn Clock>,
    /// Of copies.
    logs: Arc<IngestLogs>,
    plugins: Arc<dyn PayloadPlugins>,
}

impl Sources {
    /// Of the project and the data folder in these folders, and with what is copied in the third.
    pub(super) fn new(
        [project, data_dir, scratch]: [&Path; 3],
        clock: Arc<dyn Clock>,
        plugins: Arc<dyn PayloadPlugins>,
    ) -> Sources {
        let logs = Arc::new(IngestLogs::new(scratch, clock.clone(), Arc::new(NoMark)));
        let (project, data_dir, scratch) = (project.to_owned(), data_dir.to_owned(), scratch.to_owned());
        Sources { project, data_dir, scratch, clock, logs, plugins }
    }

    /// What a job reads of its streams: of each its archive where it has one, else its log; with the log, that too, so many
    /// workers looking for where the two meet.
    pub(super) async fn inputs(
        &self,
        plan: &JobPlan,
        with_log: Option<usize>,
    ) -> Result<Vec<Input>, Failure> {
        let Some(workers) = with_log.filter(|_| plan.has_archives()) else {
            let past =
                |input| self.archive(input).map_or_else(|| self.log(input), |archive| archive.map(|it| it.0));
            return plan.inputs.iter().map(past).collect();
        };
        let both = |input| {
            let log = self.log(input)?;
            let archive = self.archive(input).transpose()?;
            let archive = archive.map(|(Input { source, .. }, format, archive)| ArchiveSource {
                source,
                decoder: format.decoder(&archive.columns(&input.columns)),
                places: format.decoder(&archive.places(&input.stream)),
                log: log.source.clone(),
                look: SharedLook::default(),
            });
            Ok(InputSource { source: log.source, decoder: log.decoder, archive })
        };
        let both = plan.inputs.iter().map(both).collect::<Result<Vec<_>, Failure>>()?;
        let cuts = cuts(plan, &both, workers, &self.clock).await;
        let mut cuts =
            cuts.map_err(|error| Failure::from(&EngineError::Source { job: plan.name.clone(), error }))?;
        let input = |(at, InputSource { source, decoder, archive })| {
            let archive = archive.zip(cuts.remove(&at)).map(|(archive, (cut, gap))| Archived {
                source: archive.source,
                decoder: archive.decoder,
                cut,
                gap,
            });
            Input { source, decoder, archive }
        };
        Ok(both.into_iter().enumerate().map(input).collect())
    }

    /// A stream's archive alone, if it has one.
    fn archive<'i>(
        &self,
        input: &'i StreamInput,
    ) -> Option<Result<(Input, Arc<dyn StreamFormat>, &'i Archive), Failure>> {
        let stream = &input.stream;
        let archive = stream.archive.as_ref()?;
        let open = || {
            let format = (&*archive.format.name, &archive.format.options);
            let format = self.format(&stream.name, format, &archive.schema)?;
            let source = self.source(&stream.name, &archive.origin, format.layout())?;
            let decoder = format.decoder(&input.columns);
            Ok((Input { source, decoder, archive: None }, format, archive))
        };
        Some(open())
    }

    /// A stream's log alone.
    fn log(&self, input: &StreamInput) -> Result<Input, Failure> {
        let stream = &input.stream;
        let format = (&*stream.format.name, &stream.format.options);
        let format = self.format(&stream.name, format, &stream.schema)?;
        let mut origin = input.origin.clone();
        if origin.kind == "http" {
            self.copy_log(&stream.name)?;
            if let Some(settings) = origin.settings.as_object_mut() {
                settings.insert("keep".to_owned(), FOR_EVER.into());
            }
        }
        let source = self.source(&stream.name, &origin, format.layout())?;
        Ok(Input { source, decoder: format.decoder(&input.columns), archive: None })
    }

    /// The sources of jobs, each with its stream's name.
    pub(super) fn files(jobs: &[Job]) -> Vec<(Arc<dyn Source>, String)> {
        let of_job = |job: &Job| {
            let sources = |input: &Input| {
                let archive = input.archive.iter().map(|archive| archive.source.clone());
                archive.chain([input.source.clone()]).collect::<Vec<_>>()
            };
            let inputs = job.inputs.iter().map(sources).zip(&job.plan.inputs);
            let named = inputs.flat_map(|(sources, input)| {
                sources.into_iter().map(|source| (source, input.stream.name.clone()))
            });
            named.collect::<Vec<_>>()
        };
        jobs.iter().flat_map(of_job).collect()
    }

    /// A source by its definition; relative paths start at the project's folder.
    pub(super) fn source(
        &self,
        name: &str,
        origin: &StreamOrigin,
        layout: FileLayout,
    ) -> Result<Arc<dyn Source>, Failure> {
        let context = SourceContext {
            project: self.project.clone(),
            data_dir: self.scratch.clone(),
            stream: name.to_owned(),
            layout,
            clock: self.clock.clone(),
            logs: self.logs.clone(),
        };
        registry::source(&origin.kind, &origin.settings, &context)
            .map_err(|errors| Failure::user(format!("`{name}`: {}", in_words(&errors))))
    }

    /// A stream's format, by its name and options.
    pub(super) fn format(
        &self,
        stream: &str,
        (name, options): (&str, &serde_json::Value),
        schema: &StreamSchema,
    ) -> Result<Arc<dyn StreamFormat>, Failure> {
        let around = ProjectSurroundings::new(&self.project, self.clock.clone())
            .with_plugins(self.plugins.clone(), stream);
        stream_format(name, options, schema, &around).map_err(|problems| {
            let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            Failure::user(format!("`{name}`: {problems}"))
        })
    }

    /// Copies the log of a stream that takes events: a server may go on with the log itself.
    fn copy_log(&self, stream: &str) -> Result<(), Failure> {
        let (from, to) =
            (self.data_dir.join("ingest").join(stream), self.scratch.join("ingest").join(stream));
        if to.exists() {
            return Ok(());
        }
        let failed = |error: std::io::Error| {
            Failure::external(format!("the log of stream `{stream}` cannot be copied to be read: {error}"))
        };
        // It appears when it is whole: the next run takes it as it is.
        let whole = tempfile::tempdir_in(&self.scratch).map_err(failed)?;
        let mut names: Vec<_> =
            fs::read_dir(&from).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        // Later parts of the log are copied later.
        names.sort_unstable();
        for name in names {
            let file = from.join(&name);
            if file.is_file() {
                match fs::copy(&file, whole.path().join(&name)) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    copied => drop(copied.map_err(failed)?),
                }
            }
        }
        to.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        fs::rename(whole.keep(), &to).map_err(failed)?;
        Ok(())
    }
}
