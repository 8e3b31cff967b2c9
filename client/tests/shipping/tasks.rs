//! What tasks find: modules, data and programs, and nothing of other jobs.

use std::os::unix::fs::PermissionsExt as _;

use poolmap_client::{ChildOptions, PythonFunction};

use crate::cluster::{Cluster, command, python, python_of, send, soon};

#[tokio::test]
async fn a_function_imports_a_module_and_reads_a_file_that_came_with_its_job() {
    let cluster = Cluster::start(1).await;
    let module = cluster.write("code/greeting.py", "WORD = 'hello'");
    let data = cluster.write("data/names.txt", "ann bob");
    let files = cluster.ship(&[module, data]).await;
    let source =
        "import greeting\ndef work(i): return f'{greeting.WORD} {open(\"names.txt\").read().split()[i]}'";
    let values = cluster.run(python(source, files), &["[0]", "[1]"]).await;
    assert_eq!(values.unwrap(), [r#""hello ann""#, r#""hello bob""#]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_folder_travels_as_a_package_with_its_data_and_holds_the_function_itself() {
    let cluster = Cluster::start(1).await;
    cluster.write("package/__init__.py", "");
    cluster.write("package/inner/words.py", "from .. import more\nWORD = more.WORD");
    cluster.write("package/more.py", "WORD = 'deep'");
    cluster.write("package/data/empty", "");
    let function = cluster.write("package/tasks.py", "");
    let files = cluster.ship(&[cluster.home.path().join("package")]).await;
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "package/__init__.py",
            "package/data/empty",
            "package/inner/words.py",
            "package/more.py",
            "package/tasks.py"
        ]
    );
    let source = "import os, package.inner.words\n\
        def work(): return package.inner.words.WORD, os.path.getsize('package/data/empty')";
    let mut spec = python(source, files);
    if let Some(poolmap_client::function::Kind::Python(python)) =
        spec.function.as_mut().and_then(|function| function.kind.as_mut())
    {
        python.source.as_mut().unwrap().path = function.display().to_string();
    }
    assert_eq!(cluster.run(spec, &["[]"]).await.unwrap(), [r#"["deep",0]"#]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_module_that_came_with_the_job_is_found_before_one_that_lies_on_the_host() {
    let cluster = Cluster::start(1).await;
    let sent = cluster.write("sent/place.py", "NAME = 'sent'");
    cluster.write("host/place.py", "NAME = 'of the host'");
    let files = cluster.ship(&[sent]).await;
    let mut spec = python("import place\ndef work(): return place.NAME", files.clone());
    if let Some(poolmap_client::function::Kind::Python(python)) =
        spec.function.as_mut().and_then(|function| function.kind.as_mut())
    {
        python.source.as_mut().unwrap().path =
            cluster.home.path().join("host/tasks.py").display().to_string();
    }
    assert_eq!(cluster.run(spec, &["[]"]).await.unwrap(), [r#""sent""#]);
    // The working directory that the user asks for is searched, too, but later; and what came is to be found by its variable.
    let source = "import os, place\n\
        def work(): return place.NAME, os.listdir(), os.listdir(os.environ['POOLMAP_FILES'])";
    let host = cluster.home.path().join("host").display().to_string();
    let child = Some(ChildOptions { working_directory: host.into(), ..ChildOptions::default() });
    let values = cluster.run(poolmap_client::JobSpec { child, ..python(source, files) }, &["[]"]).await;
    assert_eq!(values.unwrap(), [r#"["sent",["place.py"],["place.py"]]"#]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_module_can_be_the_function_or_be_imported_once_for_all_children() {
    let cluster = Cluster::start(1).await;
    let module = cluster.write("counting.py", "def work(x): return x + 1");
    let files = cluster.ship(&[module]).await;
    let function = PythonFunction { module: "counting".to_owned(), name: "work".to_owned(), source: None };
    let mut spec = python_of(function, files);
    assert_eq!(cluster.run(spec.clone(), &["[1]"]).await.unwrap(), ["2"]);
    spec.child = Some(ChildOptions {
        preload: vec!["counting".to_owned()],
        working_directory: b"/".as_slice().into(),
        ..ChildOptions::default()
    });
    assert_eq!(cluster.run(spec, &["[2]"]).await.unwrap(), ["3"]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_program_that_came_with_the_job_can_be_run() {
    let cluster = Cluster::start(1).await;
    let tool = cluster.write("bin/tool", "#!/bin/sh\ncat greeting; echo \" $1\"");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o700)).unwrap();
    let greeting = cluster.write("greeting", "hello");
    let files = cluster.ship(&[tool, greeting]).await;
    assert_eq!(files.iter().map(|file| file.executable).collect::<Vec<_>>(), [false, true]);
    let values = cluster.run(command(&["./tool", "{}"], files), &["ann\0", "bob\0"]).await;
    assert_eq!(values.unwrap(), ["hello ann\n", "hello bob\n"]);
    cluster.stop().await;
}

#[tokio::test]
async fn what_a_task_does_to_its_files_no_other_job_sees() {
    let cluster = Cluster::start(1).await;
    let data = cluster.write("data", "fresh");
    let files = cluster.ship(&[data]).await;
    let source =
        "def work():\n    was = open('data').read()\n    open('data', 'w').write('spoilt')\n    return was";
    let values = cluster.run(python(source, files.clone()), &["[]", "[]"]).await;
    assert_eq!(values.unwrap(), [r#""fresh""#, r#""spoilt""#]);
    assert_eq!(cluster.run(python(source, files), &["[]"]).await.unwrap(), [r#""fresh""#]);
    assert_eq!(cluster.wire.calls("Get"), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn the_folder_of_a_job_is_private_and_goes_with_it() {
    let cluster = Cluster::start(1).await;
    let data = cluster.write("data", "x");
    let files = cluster.ship(&[data]).await;
    let job =
        cluster.client.submit(python("import os\ndef work(): return os.getcwd()", files)).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(["[]"].into_iter().collect()).await.unwrap();
    let mut outcomes = job.outcomes();
    let run = soon(outcomes.next()).await.unwrap().unwrap();
    let folders = cluster.job_folders(0);
    assert_eq!(run.values, format!("\"{}\"", folders[0].display()));
    assert_eq!(std::fs::metadata(&folders[0]).unwrap().permissions().mode() & 0o777, 0o700);
    tasks.finish().await.unwrap();
    assert!(soon(outcomes.next()).await.unwrap().is_none());
    cluster.until_tidy().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_its_task_runs_leaves_no_folder() {
    let cluster = Cluster::start(1).await;
    let data = cluster.write("data", "x");
    let files = cluster.ship(&[data]).await;
    let source = "import time\ndef work():\n    open('begun', 'w').close()\n    time.sleep(600)";
    let spec = poolmap_client::JobSpec { timeout_ms: 1500, ..python(source, files) };
    let job = cluster.client.submit(spec).await.unwrap();
    send(&job, &["[]"]).await.unwrap();
    let _cancelled = cluster.values(&job).await;
    cluster.until_tidy().await;
    cluster.stop().await;
}
