//! What one job is made of: a source and a decoder for each input, its sinks; and the streams as HTTP sees them.
//!
//! Nothing here starts anything.

use super::{Opened, Running};
use crate::failure::Failure;
use crate::kinds::in_words;
use std::sync::Arc;
use weir_connect::settings::SettingError;
use weir_connect::{ConnectError, CpuTime, FileLayout};
use weir_connectors::context::{SinkContext, SourceContext};
use weir_connectors::http::IngestLogs;
use weir_connectors::registry;
use weir_connectors::surroundings::ProjectSurroundings;
use weir_engine::{ArchiveSource, InputSource, JobSpec, MakeDecoder, Mode, SinkSpec};
use weir_format::{FormatProblem, StreamFormat, stream_format};
use weir_plan::definition::Archive;
use weir_plan::{JobPlan, SinkPlan, StreamDefinition, StreamInput};
use weir_serve::StreamEntry;

/// Everything that a job needs to start; it reads together with others that read the same.
pub(crate) fn job_spec(
    opened: &Opened,
    running: &Running,
    plan: &JobPlan,
    mode: Mode,
) -> Result<JobSpec, Failure> {
    let cpu = CpuTime::default();
    let input_source = |input: &StreamInput| {
        let hub = running.hubs.of(opened, &running.logs, input)?;
        let own = decoder(opened, &input.stream, &plan.name)?(&input.columns);
        let (source, decoder) = hub.for_job(own, &input.columns, &cpu);
        let archive = input.stream.archive.as_ref();
        let archive = archive
            .map(|archive| archive_source(opened, running, (&plan.name, input), archive))
            .transpose()?;
        Ok(InputSource { source, decoder, archive })
    };
    let inputs = plan.inputs.iter().map(input_source).collect::<Result<Vec<_>, Failure>>()?;
    Ok(JobSpec { plan: plan.clone(), inputs, sinks: sinks(opened, plan), mode, cpu })
}

/// What the past of a stream is read through, each job by itself.
fn archive_source(
    opened: &Opened,
    running: &Running,
    (job, input): (&str, &StreamInput),
    archive: &Archive,
) -> Result<ArchiveSource, Failure> {
    let (stream, name) = (&input.stream, format!("{}`, its `archive", input.stream.name));
    let around = around(opened, job);
    let format = stream_format(&archive.format.name, &archive.format.options, &archive.schema, &around);
    let format = format.map_err(|problems| format_failure(&name, &problems))?;
    let context = source_context(opened, &running.logs, &stream.name, format.layout());
    let past = registry::source(&archive.origin.kind, &archive.origin.settings, &context);
    let log = source(opened, &running.logs, stream, &input.origin)
        .map_err(|errors| settings_failure(&stream.name, &errors))?;
    Ok(ArchiveSource {
        source: past.map_err(|errors| settings_failure(&name, &errors))?,
        decoder: format.decoder(&archive.columns(&input.columns)),
        places: format.decoder(&archive.places(stream)),
        log,
        look: running.hubs.look(stream),
    })
}

/// A stream's source. Making one of a stream that takes rows declares its log.
pub(super) fn source(
    opened: &Opened,
    logs: &Arc<IngestLogs>,
    stream: &StreamDefinition,
    origin: &weir_plan::StreamOrigin,
) -> Result<Arc<dyn weir_connect::Source>, Vec<SettingError>> {
    // What is wrong with the format is said by whoever decodes.
    let layout = format(opened, stream, "").map(|format| format.layout()).unwrap_or_default();
    let context = source_context(opened, logs, &stream.name, layout);
    registry::source(&origin.kind, &origin.settings, &context)
}

fn source_context(
    opened: &Opened,
    logs: &Arc<IngestLogs>,
    stream: &str,
    layout: FileLayout,
) -> SourceContext {
    SourceContext {
        layout,
        project: opened.folder.clone(),
        data_dir: opened.data_dir.clone(),
        stream: stream.to_owned(),
        clock: opened.clock.clone(),
        logs: logs.clone(),
    }
}

/// What makes decoders of columns of a stream, for the account of `owner`.
pub(super) fn decoder(
    opened: &Opened,
    stream: &StreamDefinition,
    owner: &str,
) -> Result<MakeDecoder, Failure> {
    let format = format(opened, stream, owner).map_err(|problems| format_failure(&stream.name, &problems))?;
    Ok(Box::new(move |columns| format.decoder(columns)))
}

fn format(
    opened: &Opened,
    stream: &StreamDefinition,
    owner: &str,
) -> Result<Arc<dyn StreamFormat>, Vec<FormatProblem>> {
    stream_format(&stream.format.name, &stream.format.options, &stream.schema, &around(opened, owner))
}

/// What formats may need; their plugins are called for the account of `owner`.
fn around(opened: &Opened, owner: &str) -> ProjectSurroundings {
    ProjectSurroundings::new(&opened.folder, opened.clock.clone()).with_plugins(opened.plugins.clone(), owner)
}

/// Whose account is charged with what jobs share of a stream.
pub(super) fn of_stream(name: &str) -> String {
    format!("stream {name}")
}

fn sinks(opened: &Opened, plan: &JobPlan) -> Vec<SinkSpec> {
    let (job, shape) = (plan.name.clone(), Arc::new(plan.row_shape()));
    let spec = |plan: &SinkPlan| {
        let (name, kind, on_full) = (plan.name.clone(), plan.kind.clone(), plan.on_full);
        let context = SinkContext {
            project: opened.folder.clone(),
            data_dir: opened.data_dir.clone(),
            job: job.clone(),
            sink: name.clone(),
            shape: Some(shape.clone()),
            refused_bytes: opened.server.limits.dead_letters_bytes,
            clock: opened.clock.clone(),
            began: opened.clock.now(),
            mark: opened.mark.clone(),
        };
        let plan = plan.clone();
        let make = move || {
            registry::sink(&plan.kind, &plan.settings, &context)
                .map_err(|errors| ConnectError::user(in_words(&errors)))
        };
        SinkSpec { name, kind, on_full, make: Arc::new(make) }
    };
    plan.sinks.iter().map(spec).collect()
}

fn format_failure(what: &str, problems: &[FormatProblem]) -> Failure {
    let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Failure::user(format!("`{what}`: {problems}"))
}

pub(super) fn settings_failure(what: &str, errors: &[SettingError]) -> Failure {
    Failure::user(format!("`{what}`: {}", in_words(errors)))
}

/// A stream as HTTP sees it; opens the ingest log of one that takes rows.
pub(crate) fn entry(
    opened: &Opened,
    definition: &Arc<StreamDefinition>,
    logs: &Arc<IngestLogs>,
) -> Result<StreamEntry, Failure> {
    let name = &definition.name;
    if let Some(origin) = &definition.origin {
        // Also a stream that no job reads takes rows.
        source(opened, logs, definition, origin).map_err(|errors| settings_failure(name, &errors))?;
    }
    let columns: Vec<usize> = (0..definition.schema.fields.len()).collect();
    let checker = decoder(opened, definition, &of_stream(name))?(&columns);
    let log = logs.open(name)?;
    Ok(StreamEntry { definition: definition.clone(), log, checker })
}
