//! Who may write into a folder beside whom.

use super::*;

#[tokio::test]
async fn another_process_does_not_write_into_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let mut first = sink_into(folder.path(), None, &clock);
    first.start(None).await.unwrap();
    let mut second = sink_into(folder.path(), None, &clock);
    let error = second.start(None).await.unwrap_err();
    assert!(error.retry && error.message.contains("another weir writes this job's files"), "{error}");
    drop(first);
    second.start(None).await.unwrap();
}

#[tokio::test]
async fn sinks_of_a_job_write_into_one_folder_in_several_formats() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let sink =
        |format| FileSink::new("activity", settings_of(folder.path(), content_of(format)), clock.clone());
    let (mut lines, mut fields) = (sink("jsonl"), sink("csv"));
    for sink in [&mut lines, &mut fields] {
        sink.start(None).await.unwrap();
    }
}
