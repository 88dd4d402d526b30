//! What the connectors say of the connectors that definitions name: an adapter from their registry to the
//! checker. Must not know what any setting means.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::settings::SettingError;
use weir_connect::{ConnectError, Delivery, NoMark, Probe, Sink, Source};
use weir_connectors::context::{SinkContext, SourceContext};
use weir_connectors::http::IngestLogs;
use weir_connectors::registry;
use weir_connectors::surroundings::ProjectSurroundings;
use weir_engine::sink_identity;
use weir_event::{Clock, StreamSchema};
use weir_format::{StreamFormat, by_name, stream_format};
use weir_plan::definition::Archive;
use weir_plan::{
    ConnectorKinds, FormatDefinition, FormatProblem, JobPlan, RecordKind, SettingProblem, SinkPlan,
    StreamDefinition, StreamInput, StreamOrigin,
};

/// Something that is said of a job's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Line and column there, from 1.
    pub(crate) at: (u32, u32),
    pub(crate) message: String,
}

impl Told {
    /// Of the job as a whole.
    pub(crate) fn of_job(message: String) -> Told {
        Told { at: (1, 1), message }
    }
}

/// Judges settings by making connectors of them, which does no I/O, and dropping those.
#[derive(Debug)]
pub(crate) struct RegisteredKinds {
    project: PathBuf,
    clock: Arc<dyn Clock>,
}

impl RegisteredKinds {
    /// For the project in this folder.
    pub(crate) fn new(project: &Path, clock: Arc<dyn Clock>) -> Self {
        RegisteredKinds { project: project.to_owned(), clock }
    }

    /// What a sink of a job promises its readers; `None` if its settings are wrong.
    pub(crate) fn promise(&self, job: &str, sink: &SinkPlan) -> Option<Delivery> {
        registry::sink(&sink.kind, &sink.settings, &self.sink_context(job)).ok().map(|sink| sink.delivery())
    }

    /// Where the state leaves its mark that a sink of a job writes with.
    pub(crate) fn mark(&self, job: &str, sink: &SinkPlan) -> Option<PathBuf> {
        registry::sink(&sink.kind, &sink.settings, &self.sink_context(job)).ok()?.mark()
    }

    /// What each of a job's sinks is known by, wherever it stands in the definition; of those whose settings are right.
    pub(crate) fn sink_identities(&self, plan: &JobPlan) -> Vec<String> {
        let context = self.sink_context(&plan.name);
        let identity = |sink: &SinkPlan| {
            let made = registry::sink(&sink.kind, &sink.settings, &context).ok()?;
            Some(sink_identity(&sink.kind, &made.place()))
        };
        plan.sinks.iter().filter_map(identity).collect()
    }

    /// What is wrong with the sources that a job names itself, and what of its sinks does not fit its rows.
    pub(crate) fn misfits(&self, plan: &JobPlan) -> Vec<Told> {
        let sources = named_by_job(plan).flat_map(|input| self.source_misfits(input));
        sources.map(Told::of_job).chain(self.sink_misfits(plan)).collect()
    }

    fn source_misfits(&self, input: &StreamInput) -> Vec<String> {
        let (stream, StreamOrigin { kind, settings }) = (&input.stream, &input.origin);
        let context = self.source_context(&stream.name, (&stream.format, &stream.schema));
        let errors = registry::source(kind, settings, &context).err().unwrap_or_default();
        let told = |SettingError { key, message }: SettingError| {
            format!(
                "`stream.{kind}`: `{key}`: {message}; what the job does not say is taken from the file of stream \
                 `{}`: write it there under `source: {{{kind}: {{..}}}}`",
                stream.name
            )
        };
        errors.into_iter().map(told).collect()
    }

    fn sink_misfits(&self, plan: &JobPlan) -> Vec<Told> {
        let shape = Arc::new(plan.row_shape());
        let misfits = |sink: &SinkPlan| {
            let context = SinkContext { shape: Some(shape.clone()), ..self.sink_context(&plan.name) };
            let errors = registry::sink(&sink.kind, &sink.settings, &context).err().unwrap_or_default();
            errors
                .into_iter()
                .map(|SettingError { key, message }| {
                    let dot = if key.is_empty() { "" } else { "." };
                    Told { at: sink.stands_at, message: format!("`{}{dot}{key}`: {message}", sink.kind) }
                })
                .collect::<Vec<_>>()
        };
        plan.sinks.iter().flat_map(misfits).collect()
    }

    /// What of a job's sinks goes on showing results that are taken back.
    pub(crate) fn keep_what_goes(&self, plan: &JobPlan) -> Vec<Told> {
        if !plan.row_shape().deletes {
            return Vec::new();
        }
        let context = self.sink_context(&plan.name);
        let told = |sink: &SinkPlan| {
            let advice = registry::sink(&sink.kind, &sink.settings, &context).ok()?.keeps_what_goes()?;
            let message = format!(
                "results that were written can be taken back (a session that joins another, a window without any row left, \
                 HAVING that is not true any more, a row that keyed logic does not make any more), and sink `{}` does not say which; {advice}",
                sink.name
            );
            Some(Told { at: sink.stands_at, message })
        };
        plan.sinks.iter().filter_map(told).collect()
    }

    /// The source of a stream.
    pub(crate) fn source(
        &self,
        stream: &StreamDefinition,
        origin: &StreamOrigin,
    ) -> Result<Arc<dyn Source>, ConnectError> {
        let context = self.source_context(&stream.name, (&stream.format, &stream.schema));
        let source = registry::source(&origin.kind, &origin.settings, &context);
        source.map_err(|errors| ConnectError::user(in_words(&errors)))
    }

    /// Tries where the past of a stream is kept.
    pub(crate) async fn probe_archive(&self, stream: &str, archive: &Archive) -> Result<Probe, ConnectError> {
        let context = self.source_context(stream, (&archive.format, &archive.schema));
        let source = registry::source(&archive.origin.kind, &archive.origin.settings, &context);
        source.map_err(|errors| ConnectError::user(in_words(&errors)))?.probe().await
    }

    /// Tries what a stream is read from, and what its records need to be decoded.
    pub(crate) async fn probe_source(
        &self,
        stream: &StreamDefinition,
        origin: &StreamOrigin,
    ) -> Result<Probe, ConnectError> {
        let found = self.source(stream, origin)?.probe().await?;
        let format = self.format((&stream.format, &stream.schema));
        // What is wrong with the format is said of the format.
        let Ok(format) = format else { return Ok(found) };
        Ok(match (found, format.probe().await?) {
            (Probe::Ready(found), Some(more)) => Probe::Ready(format!("{found}, {more}")),
            (found, _) => found,
        })
    }

    /// A sink of a job, which knows the rows that it gets.
    pub(crate) fn sink(&self, plan: &JobPlan, sink: &SinkPlan) -> Result<Box<dyn Sink>, ConnectError> {
        let shape = Some(Arc::new(plan.row_shape()));
        let context = SinkContext { shape, sink: sink.name.clone(), ..self.sink_context(&plan.name) };
        let made = registry::sink(&sink.kind, &sink.settings, &context);
        made.map_err(|errors| ConnectError::user(in_words(&errors)))
    }

    /// What a stream's source has not got yet, where this machine can tell; looks at files.
    pub(crate) fn missing(&self, stream: &StreamDefinition) -> Option<String> {
        let origin = stream.origin.as_ref()?;
        let context = self.source_context(&stream.name, (&stream.format, &stream.schema));
        registry::source(&origin.kind, &origin.settings, &context).ok()?.missing()
    }

    /// Whether the source of a stream would read what a sink writes at this place.
    pub(crate) fn reads(&self, stream: &StreamDefinition, origin: &StreamOrigin, place: &str) -> bool {
        let context = self.source_context(&stream.name, (&stream.format, &stream.schema));
        let source = registry::source(&origin.kind, &origin.settings, &context);
        source.is_ok_and(|source| source.reads(place))
    }

    fn source_context(&self, stream: &str, records: (&FormatDefinition, &StreamSchema)) -> SourceContext {
        // What is wrong with the format is said of the format.
        let layout = self.format(records).map(|format| format.layout()).unwrap_or_default();
        SourceContext {
            layout,
            project: self.project.clone(),
            data_dir: self.project.clone(),
            stream: stream.to_owned(),
            clock: self.clock.clone(),
            logs: Arc::new(IngestLogs::new(&self.project, self.clock.clone(), Arc::new(NoMark))),
        }
    }

    fn format(
        &self,
        (format, schema): (&FormatDefinition, &StreamSchema),
    ) -> Result<Arc<dyn StreamFormat>, Vec<weir_format::FormatProblem>> {
        let around = ProjectSurroundings::new(&self.project, self.clock.clone());
        stream_format(&format.name, &format.options, schema, &around)
    }

    fn sink_context(&self, job: &str) -> SinkContext {
        SinkContext {
            project: self.project.clone(),
            data_dir: self.project.clone(),
            job: job.to_owned(),
            sink: String::new(),
            shape: None,
            refused_bytes: 0,
            clock: self.clock.clone(),
            began: self.clock.now(),
            mark: Arc::new(NoMark),
        }
    }
}

impl ConnectorKinds for RegisteredKinds {
    fn check_source(
        &self,
        stream: &str,
        records: (&FormatDefinition, &StreamSchema),
        origin: &StreamOrigin,
        is_archive: bool,
    ) -> Vec<SettingProblem> {
        let kind = &origin.kind;
        match registry::source(kind, &origin.settings, &self.source_context(stream, records)) {
            Err(problems) => problems.into_iter().map(problem).collect(),
            Ok(source) if is_archive && source.grows() => vec![SettingProblem {
                key: String::new(),
                message: format!(
                    "an archive has an end, and `{kind}` as it is given here has none; give files without `follow`"
                ),
            }],
            Ok(_) => Vec::new(),
        }
    }

    fn check_sink(&self, job: &str, kind: &str, settings: &Value) -> Vec<SettingProblem> {
        let problems = registry::sink(kind, settings, &self.sink_context(job)).err().unwrap_or_default();
        problems.into_iter().map(problem).collect()
    }

    fn sink_place(&self, job: &str, kind: &str, settings: &Value) -> Option<String> {
        registry::sink(kind, settings, &self.sink_context(job)).ok()?.own_place()
    }

    fn check_format(
        &self,
        format: &FormatDefinition,
        schema: &StreamSchema,
    ) -> Result<RecordKind, Vec<FormatProblem>> {
        let problem = |found| match found {
            weir_format::FormatProblem::Option(error) => FormatProblem::Option(problem(error)),
            weir_format::FormatProblem::Field(index, message) => FormatProblem::Field(index, message),
        };
        let known = self.format((format, schema));
        known.map_err(|problems| problems.into_iter().map(problem).collect::<Vec<_>>())?;
        let gives_changes = by_name(&format.name).is_ok_and(|known| known.gives_changes(&format.options));
        Ok(if gives_changes { RecordKind::Changes } else { RecordKind::Rows })
    }

    fn name_setting(&self, kind: &str) -> Result<Option<&'static str>, String> {
        registry::named_by(kind).map_err(|error| error.message)
    }
}

/// The inputs of a job that it does not read where their stream says, but where its own `stream: {KIND: NAME}` does.
pub(crate) fn named_by_job(plan: &JobPlan) -> impl Iterator<Item = &StreamInput> {
    plan.inputs.iter().filter(|input| input.stream.origin.as_ref() != Some(&input.origin))
}

/// Everything that is wrong with the settings of one connector.
pub(crate) fn in_words(errors: &[SettingError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn problem(error: SettingError) -> SettingProblem {
    SettingProblem { key: error.key, message: error.message }
}
