use crate::harness::Place;

#[test]
fn an_image_for_another_platform_is_not_run_for_the_one_that_is_wanted() {
    let place = Place::new();
    let other = if cfg!(target_arch = "x86_64") { "linux/arm64" } else { "linux/amd64" };
    place.ctn(&["import", "--platform", other, "-c", "CMD [\"true\"]", "image.tar", "foreign"]);
    let run = |flags: &[&str], image: &str| {
        place.outcome(&[&["create", "--network", "none", "--pull", "never"], flags, &[image]].concat())
    };
    let (status, _, said) = run(&["--platform", other], "box");
    assert!(status == Some(1) && said.contains(&format!("wanted {other}, actual: linux/")), "{said}");
    assert_eq!(run(&["--platform", other], "foreign").0, Some(0));
    let (status, _, said) = run(&[], "foreign");
    assert!(status == Some(0) && said.contains("does not match the detected host platform"), "{said}");
    let refusal = place.refusal(125, &["run", "--platform", "nonsense", "box"]);
    assert!(refusal.contains("unknown operating system or architecture"), "{refusal}");
}

#[test]
fn the_image_that_is_built_in_needs_nothing_else() {
    let place = Place::new();
    let output = place.ctn(&["run", "--rm", "--network", "none", "-h", "greeter", "corten/hello", "there"]);
    for words in [
        "Hello from a container",
        "1: /hello there",
        "greeter",
        "CapEff: 00000000a80425fb",
        "root files     dev etc hello proc sys",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert!(place.ctn(&["images"]).contains("corten/hello"));
    let refusal = place.refusal(125, &["run", "--rm", "--pull", "never", "--network", "none", "corten/other"]);
    assert!(refusal.contains("No such image: corten/other"), "{refusal}");
    place.assert_nothing_left();
}

#[test]
fn what_a_container_changed_becomes_an_image() {
    let place = Place::new();
    let script = "echo new >/root/new; echo more >>/data/of-image; rm /not-executable";
    place.ctn(&[
        "run",
        "--name",
        "changed",
        "--network",
        "none",
        "-e",
        "TOLD=yes",
        "-v",
        "/elsewhere",
        "box",
        "sh",
        "-c",
        script,
    ]);
    let changes = place.ctn(&["diff", "changed"]);
    assert_eq!(
        changes.lines().filter(|line| !line.ends_with("/elsewhere")).collect::<Vec<_>>(),
        ["D /not-executable", "C /data", "C /data/of-image", "C /root", "A /root/new"]
    );
    place.ctn(&["commit", "-c", "CMD [\"cat\", \"/root/new\"]", "changed", "made"]);
    assert_eq!(place.ctn(&["run", "--rm", "--network", "none", "made"]), "new\n");
    assert_eq!(
        place.ctn(&["run", "--rm", "--network", "none", "made", "sh", "-c", "echo $TOLD; cat /data/of-image"]),
        "yes\nfrom the image\nmore\n"
    );
    place.ctn(&["export", "-o", "all.tar", "changed"]);
    let listed = std::process::Command::new("tar").args(["-tf", "all.tar"]).current_dir(&place.path).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("root/new") && !listed.contains("not-executable"), "{listed}");
    // Of one that runs, frozen meanwhile.
    place.detached("running", &[], "echo x >/root/x; sleep 1000");
    crate::harness::until("it wrote", || place.ctn(&["diff", "running"]).contains("A /root/x"));
    place.ctn(&["commit", "running", "of-running"]);
    assert_eq!(place.field("running", ".State.Status"), "running");
}

/// What is packed first and what is packed last are of the same moment.
#[test]
fn a_container_is_frozen_until_its_files_are_packed() {
    let place = Place::new();
    let script = "dd if=/dev/urandom of=/middle bs=1M count=30; while :; do echo x >>/first; echo x >>/the-last; done";
    place.detached("busy", &[], script);
    crate::harness::until("it writes", || place.ctn(&["diff", "busy"]).contains("A /the-last"));
    place.ctn(&["commit", "busy", "made"]);
    assert_eq!(place.field("busy", ".State.Status"), "running");
    place.ctn(&["rm", "-f", "busy"]);
    let lines = place.ctn(&[
        "run",
        "--rm",
        "--network",
        "none",
        "made",
        "sh",
        "-c",
        "cat /first | wc -l; cat /the-last | wc -l",
    ]);
    let [first, last] = [0, 1].map(|line| lines.lines().nth(line).unwrap().trim().parse::<u32>().unwrap());
    assert!(first == last || first == last + 1, "{lines}");
}
