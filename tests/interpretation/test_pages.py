"""The reports of probe, steer and saliency as a browser shows them, on a large screen and on a small one."""

import pytest
from commands import run_here
from page_look import LOOK

SMALL = ["checkpoint=agents:/sokoban-one-box", "threads=1", "tracking=[]", "folder=out"]
TASKS = {
    "probe": ["probe.levels=60", "probe.passes=2", "probe.video_levels=1"],
    "steer": ["probe.levels=60", "steer.levels=40", "steer.steered=20", "steer.alphas=[1,4]", "steer.draws=1"],
    "saliency": ["saliency.levels=20"],
}
PICTURES = {"probe": 5, "steer": 3, "saliency": 5}
# Of pictures within drawings: maps, boards, galleries.
MAPS = """() => [...document.querySelectorAll(".plot svg image")].map(image => {
  const box = image.getBoundingClientRect();
  return Math.min(box.width, box.height) * (image.href.baseVal.startsWith("data:image/png;base64,") ? 1 : 0);
})"""


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_picture_is_drawn_and_nothing_is_wider_than_the_screen(task, browser, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, errors = run_here(monkeypatch, capsys, f"task={task}", *SMALL, *TASKS[task])
    assert (code, errors) == (0, "")
    for width in (1200, 400):
        page = browser.new_page(viewport={"width": width, "height": 800})
        problems = []
        for event in ("pageerror", "requestfailed"):
            page.on(event, lambda problem, problems=problems: problems.append(problem))
        page.goto((tmp_path / "out/report.html").as_uri())
        look = page.evaluate(LOOK)
        assert look["width"] <= width and look["right"] <= width and not problems
        assert len(look["drawn"]) == PICTURES[task] and min(look["drawn"]) > 150
        assert look["letters"] >= 7
        maps = page.evaluate(MAPS)
        assert (len(maps) >= {"probe": 2, "steer": 1, "saliency": 3}[task]) and min(maps) > 60
        if task == "probe":  # the video of its plan
            assert page.locator("#video").inner_text() == "Its plan, tick by tick" and all(look["seen"])
        page.close()
