use crate::harness::Place;

#[test]
fn fifty_at_a_time() {
    let place = Place::new();
    let children: Vec<_> = (0..50)
        .map(|number| {
            place.spawn(&[
                "run",
                "--rm",
                "--network",
                "none",
                "box",
                "sh",
                "-c",
                &format!("echo {number}; exit {number}"),
            ])
        })
        .collect();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(number as i32), "{errors}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{number}\n"));
    }
    place.assert_nothing_left();
}

#[test]
fn one_name_is_given_once() {
    let place = Place::new();
    let children: Vec<_> =
        (0..8).map(|_| place.spawn(&["create", "--name", "one", "--network", "none", "box"])).collect();
    let made = children.into_iter().filter(|_| true).map(|child| child.wait_with_output().unwrap().status.success());
    assert_eq!(made.filter(|made| *made).count(), 1);
    assert_eq!(place.ctn(&["ps", "-aq"]).lines().count(), 1);
    // Started by many, it runs once.
    let children: Vec<_> = (0..8).map(|_| place.spawn(&["start", "one"])).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    place.ctn(&["rm", "-f", "one"]);
    place.assert_nothing_left();
}
