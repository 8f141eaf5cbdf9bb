//! What `Resources::check` lets through to a script, and what it stops.

use rankine_slurm::{Error, Resources};

type Change = fn(&mut Resources, String);

const TEXTS: [(&str, Change); 13] = [
    ("time", |r, v| r.time = Some(v)),
    ("mem_per_cpu", |r, v| r.mem_per_cpu = Some(v)),
    ("mem_per_node", |r, v| r.mem_per_node = Some(v)),
    ("partition", |r, v| r.partition = Some(v)),
    ("account", |r, v| r.account = Some(v)),
    ("qos", |r, v| r.qos = Some(v)),
    ("constraint", |r, v| r.constraint = Some(v)),
    ("job_name", |r, v| r.job_name = Some(v)),
    ("output", |r, v| r.output = Some(v)),
    ("chdir", |r, v| r.chdir = Some(v)),
    ("after", |r, v| r.after = Some(v)),
    ("mail", |r, v| r.mail = Some(v)),
    ("extra", |r, v| r.extra = Some(v)),
];

fn field_refused(wanted: &Resources) -> &'static str {
    match wanted.check() {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("{other:?} for {wanted:?}"),
    }
}

#[test]
fn the_default_is_one_rank_and_valid() {
    let default = Resources::default();
    assert_eq!((default.ranks, default.threads, default.nodes), (1, 1, None));
    default.check().unwrap();
}

#[test]
fn zeros_and_idle_nodes_are_refused() {
    let with = |ranks, threads, nodes| Resources { ranks, threads, nodes, ..Resources::default() };
    assert_eq!(field_refused(&with(0, 1, None)), "ranks");
    assert_eq!(field_refused(&with(1, 0, None)), "threads");
    assert_eq!(field_refused(&with(1, 1, Some(0))), "nodes");
    assert_eq!(field_refused(&with(3, 1, Some(4))), "nodes");
    with(7, 3, Some(4)).check().unwrap();
}

#[test]
fn times() {
    let seconds = |time: &str| {
        Resources { time: Some(time.to_owned()), ..Resources::default() }.time_limit_seconds().ok().flatten()
    };
    for (time, expected) in [
        ("30", 1800),
        ("00:00:01", 1),
        ("2:00:00", 7200),
        ("100:00:00", 360_000),
        ("1-0", 86_400),
        ("1-02:30", 95_400),
        ("1-00:00:00", 86_400),
        ("7-23:59:59", 691_199),
    ] {
        assert_eq!(seconds(time), Some(expected), "{time}");
    }
    for time in [
        "",
        "0",
        "0:00:00",
        "1:30",
        "-1",
        "+30",
        "3 0",
        "1h",
        "1:60:00",
        "1:00:60",
        "1-24:00:00",
        "1-",
        "-",
        ":::",
        "1:2:3:4",
        "1-2-3",
        "99999999999999999999",
        "18446744073709551615:00:00",
        "٣٠",
        "UNLIMITED",
        "30\n",
        "1-0:0:0:0",
    ] {
        assert_eq!(seconds(time), None, "{time:?}");
    }
}

#[test]
fn memory() {
    for size in ["1", "512M", "4G", "1T", "2000K"] {
        Resources { mem_per_cpu: Some(size.into()), ..Resources::default() }.check().unwrap();
    }
    for size in ["", "0", "0G", "G", "4GB", "4g", "1.5G", "-1", "1 G", "4G\n", "9999999999999999"] {
        let wanted = Resources { mem_per_node: Some(size.into()), ..Resources::default() };
        assert_eq!(field_refused(&wanted), "mem_per_node", "{size:?}");
    }
    let both =
        Resources { mem_per_cpu: Some("1G".into()), mem_per_node: Some("1G".into()), ..Resources::default() };
    assert_eq!(field_refused(&both), "mem_per_cpu");
}

#[test]
fn nothing_breaks_out_of_its_line() {
    let hostile = [
        "",
        " ",
        "a\nb",
        "a\n#SBATCH --uid=0",
        "a\rb",
        "a\0b",
        "a\"b",
        "a'b",
        "a\\b",
        "a #b",
        "$(id)",
        "`id`",
        "a\u{2028}b",
        "a\u{85}b",
        "a\u{1b}[0m",
        " a",
        "a ",
        "\u{7f}",
    ];
    for (field, change) in TEXTS {
        for value in hostile {
            let mut wanted = Resources::default();
            change(&mut wanted, value.to_owned());
            assert_eq!(field_refused(&wanted), field, "{value:?}");
        }
    }
    for (field, change) in &TEXTS[3..7] {
        for value in ["a b", "a;b", "a>b", "a<b", "a~b", "ä", "a{b}", "a?b"] {
            let mut wanted = Resources::default();
            change(&mut wanted, value.to_owned());
            assert_eq!(field_refused(&wanted), *field, "{value:?}");
        }
    }
}

#[test]
fn a_job_file_reads_back_and_misspelt_keys_are_refused() {
    let wanted = Resources {
        nodes: Some(2),
        ranks: 5,
        threads: 3,
        time: Some("1-00:00:00".into()),
        constraint: Some("[a|b]&c*2".into()),
        output: Some("out dir/%j.log".into()),
        exclusive: true,
        requeue: true,
        ..Resources::default()
    };
    wanted.check().unwrap();
    let text = toml::to_string(&wanted).unwrap();
    assert_eq!(toml::from_str::<Resources>(&text).unwrap(), wanted);
    assert!(toml::from_str::<Resources>("rank = 3").unwrap_err().to_string().contains("rank"));
}

#[test]
fn dependencies() {
    let script = |after: &str| {
        let resources = Resources { after: Some(after.to_owned()), ..Resources::default() };
        rankine_slurm::Job { resources, ..rankine_slurm::Job::new(["x"]) }.script()
    };
    for (after, line) in [
        ("17", "afterok:17"),
        ("17:18", "afterok:17:18"),
        ("17_3", "afterok:17_3"),
        ("afterany:17", "afterany:17"),
        ("afternotok:17,singleton", "afternotok:17,singleton"),
        ("after:17+10?aftercorr:18", "after:17+10?aftercorr:18"),
    ] {
        assert!(script(after).unwrap().contains(&format!("#SBATCH --dependency={line}\n")), "{after}");
    }
    for bad in
        ["", "x", "afterok", "afterok:", "afterok:x", "17,", "-1", "afterok:1 --uid=0", "1\n2", "later:17"]
    {
        assert!(script(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn further_options_are_read_as_a_shell_reads_them() {
    let lines = |extra: &str| {
        let resources = Resources { extra: Some(extra.to_owned()), ..Resources::default() };
        let script = rankine_slurm::Job { resources, ..rankine_slurm::Job::new(["x"]) }.script()?;
        let lines = script.lines().filter_map(|line| line.strip_prefix("#SBATCH ")).skip(3);
        Ok::<_, Error>(lines.map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(
        lines("--gres gpu:1  --comment='a b' -C \"x&y\" --nice --begin 'now + 1'").unwrap(),
        ["--gres gpu:1", "--comment=\"a b\"", "-C x&y", "--nice", "--begin \"now + 1\""]
    );
    for (bad, says) in [
        ("", "no option"),
        ("--comment='open", "a quote is open"),
        ("gpu", "begins with a dash"),
        ("--gres gpu:1 more", "begins with a dash"),
        ("--gres=gpu:1 more", "begins with a dash"),
        ("--comment='a\nb'", "control characters"),
        ("--comment='a\"b'", "quotes"),
        ("--comment=$(id)", "begins with a dash"),
        ("--ntasks=3", "--ranks"),
        ("-n3", "--ranks"),
        ("-o x", "--job-log"),
        ("--array 1-3", "--sweep"),
        ("--wrap=id", "template"),
    ] {
        match lines(bad) {
            Err(error) => assert!(error.to_string().contains(says) || bad.contains('$'), "{bad}: {error}"),
            Ok(lines) => panic!("{bad}: {lines:?}"),
        }
    }
}

#[test]
fn memory_in_bytes_and_ranks_on_a_node() {
    let mem = |size: &str| Resources { mem_per_node: Some(size.to_owned()), ..Resources::default() };
    for (size, bytes) in
        [("100", 100 << 20), ("5K", 5 << 10), ("7M", 7 << 20), ("3G", 3 << 30), ("2T", 2 << 40)]
    {
        assert_eq!(mem(size).memory().unwrap(), (None, Some(bytes)), "{size}");
    }
    let wanted =
        |ranks, nodes, ranks_per_node| Resources { ranks, nodes, ranks_per_node, ..Resources::default() };
    assert_eq!(wanted(7, Some(3), None).most_on_a_node(), Some(3));
    assert_eq!(wanted(7, None, Some(2)).most_on_a_node(), Some(2));
    assert_eq!(wanted(7, None, None).most_on_a_node(), None);
    assert_eq!(field_refused(&wanted(7, Some(3), Some(2))), "ranks_per_node");
    wanted(6, Some(3), Some(2)).check().unwrap();
}
