//! Scripts compared with files in `golden/`. `RANKINE_BLESS=1` writes those files anew; read the difference
//! before keeping it.

use std::fs;
use std::path::Path;
use std::process::Command;

use rankine_slurm::{Binding, Error, Job, Launcher, Points, Resources, Template};

fn jobs() -> Vec<(&'static str, Job)> {
    let heat = ["/opt/rankine/bin/rankine", "run", "heat3d", "--steps", "100"];
    let hybrid = Resources {
        nodes: Some(4),
        ranks: 8,
        threads: 4,
        time: Some("02:00:00".into()),
        partition: Some("compute".into()),
        ..Resources::default()
    };
    let everything = Resources {
        nodes: Some(3),
        ranks: 7,
        threads: 2,
        mem_per_cpu: Some("2G".into()),
        mem_per_node: None,
        time: Some("1-12:00:00".into()),
        partition: Some("long,short".into()),
        account: Some("proj-42".into()),
        qos: Some("high".into()),
        constraint: Some("[rack1|rack2]&ib*2".into()),
        exclusive: true,
        job_name: Some("heat, fine grid".into()),
        output: Some("runs/heat %j/slurm.log".into()),
        requeue: true,
        ranks_per_node: Some(3),
        chdir: Some("/scratch/my folder".into()),
        after: Some("afterok:17:18,singleton".into()),
        mail: Some("my.name+jobs@example.org".into()),
        extra: Some("--gres=gpu:1 --comment 'two words' -L 'lic@site:2' --switches='1@0:30 0'".into()),
    };
    let site = "#!/bin/bash -l\n{{directives}}\n#SBATCH --reservation=ours\n\nmodule load openmpi/4.1\n{{environment}}\n\
                echo \"{{ranks}} x {{threads}} on {{nodes}} nodes: {{job_name}} in {{run}}, {{program}}\"\n\
                {{launch}}\n{{requeue}}\ncp -r {{run}} /archive\nexit \"$code\"\n";
    let points = Points {
        folder: "/scratch/it's here/sweep".into(),
        words: vec![
            vec!["--cells=64".into(), "--dt=0.1".into()],
            vec!["--cells=$(id)".into(), "--name=a b\n#SBATCH --uid=0".into()],
        ],
        at_once: Some(4),
        into: "--out".into(),
    };
    vec![
        ("minimal", Job::new(heat)),
        ("srun-hybrid", Job { resources: hybrid.clone(), ..Job::new(heat) }),
        (
            "srun-pmi2-unbound",
            Job {
                resources: hybrid.clone(),
                why: Some("the program is linked with MPICH (libmpich.so.12)".into()),
                launcher: Launcher::Srun { mpi: "pmi2".into() },
                binding: Binding::None,
                ..Job::new(heat)
            },
        ),
        (
            "mpirun-flat",
            Job {
                resources: Resources { threads: 1, ..hybrid.clone() },
                launcher: Launcher::Mpirun,
                ..Job::new(heat)
            },
        ),
        (
            "mpirun-hybrid-root",
            Job { resources: hybrid.clone(), launcher: Launcher::Mpirun, as_root: true, ..Job::new(heat) },
        ),
        (
            "mpirun-hybrid-cores",
            Job {
                resources: hybrid.clone(),
                launcher: Launcher::Mpirun,
                binding: Binding::Cores,
                ..Job::new(heat)
            },
        ),
        (
            "requeue-mpirun",
            Job {
                resources: Resources { requeue: true, time: Some("30".into()), ..hybrid.clone() },
                launcher: Launcher::Mpirun,
                run: Some("runs/heat".into()),
                most_requeues: 7,
                ..Job::new(heat)
            },
        ),
        (
            "site-template",
            Job {
                resources: Resources { job_name: Some("heat, fine".into()), requeue: true, ..hybrid.clone() },
                run: Some("runs/it's".into()),
                why: Some("the program is linked with Open MPI (libmpi.so.40)\nrm -rf".into()),
                template: Template::new("site", site).unwrap(),
                ..Job::new(heat)
            },
        ),
        ("sweep", Job { resources: hybrid.clone(), points: Some(points.clone()), ..Job::new(heat) }),
        (
            "sweep-requeue-mpirun",
            Job {
                resources: Resources { requeue: true, ..hybrid.clone() },
                launcher: Launcher::Mpirun,
                points: Some(Points { into: "--resume".into(), at_once: None, ..points }),
                ..Job::new(heat)
            },
        ),
        ("everything", Job { resources: everything, ..Job::new(heat) }),
        (
            "hostile-arguments",
            Job::new([
                "./my prog",
                "it's",
                "$(touch /tmp/pwned)",
                "a\n#SBATCH --uid=0\nb",
                "\r\n",
                "",
                "--x=1",
                "*",
                "~",
                "ünïcödé ✓",
                "back\\slash",
            ]),
        ),
    ]
}

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("sbatch")
}

#[test]
fn scripts_are_what_they_were_and_bash_accepts_them() {
    for (name, job) in jobs() {
        let script = job.script().unwrap();
        if std::env::var_os("RANKINE_BLESS").is_some() {
            fs::write(golden(name), &script).unwrap();
        }
        let kept = fs::read_to_string(golden(name))
            .unwrap_or_else(|e| panic!("{name}: {e}; RANKINE_BLESS=1 writes it"));
        assert_eq!(script, kept, "{name}: RANKINE_BLESS=1 rewrites the file if the change is meant");
    }
    let mut kept: Vec<_> =
        fs::read_dir(golden("x").parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut expected: Vec<_> = jobs().iter().map(|(name, _)| golden(name)).collect();
    kept.sort();
    expected.sort();
    assert_eq!(kept, expected);
    for path in kept {
        let out = Command::new("bash").arg("-n").arg(&path).output().unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{}: {out:?}", path.display());
    }
}

#[test]
fn programs_that_cannot_be_launched_are_refused() {
    let field = |job: Job| match job.script() {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(Job::default()), "program");
    assert_eq!(field(Job::new([""])), "program");
    assert_eq!(field(Job::new(["--version"])), "program");
    assert_eq!(field(Job::new(["a", "b\0c"])), "program");
    assert_eq!(field(Job { launcher: Launcher::Mpirun, ..Job::new(["a", ":", "b"]) }), "program");
    assert_eq!(field(Job { launcher: Launcher::Srun { mpi: "x y".into() }, ..Job::new(["a"]) }), "mpi");
    let points = Points { folder: "f".into(), words: vec![], at_once: None, into: "--out".into() };
    assert_eq!(field(Job { points: Some(points.clone()), ..Job::new(["a"]) }), "sweep");
    let nul = Points { words: vec![vec!["--x=\0".into()]], ..points };
    assert_eq!(field(Job { points: Some(nul), ..Job::new(["a"]) }), "sweep");
    let resources = Resources { requeue: true, ..Resources::default() };
    let template = Template::new("t", "#!/bin/sh\n{{directives}}\n{{launch}}\n").unwrap();
    let error = Job { resources, template, ..Job::new(["a"]) }.script().unwrap_err();
    assert!(error.to_string().contains("{{requeue}}"), "{error}");
    let resources = Resources { ranks: 0, ..Resources::default() };
    assert_eq!(field(Job { resources, ..Job::new(["a"]) }), "ranks");
}
