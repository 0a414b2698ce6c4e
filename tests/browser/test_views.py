"""What a person sees of a real run, in a real browser."""

from typing import Any

from tests.browser.conftest import Shown
from tests.e2e.pipeline import wait_until

Page = Any


def wait_for(page: Page, expression: str, argument: object = None) -> None:
    """Look until it is true; not within the page, whose policy evaluates no text."""
    wait_until(lambda: page.evaluate(expression, argument), what=lambda: f"{expression}: {page.text_content('body')}")


def test_live_shows_results_of_the_run_as_they_come(pipeline: Shown, page: Page) -> None:
    page.goto(pipeline.url)
    page.wait_for_selector(".tile img")
    wait_for(page, "document.querySelector('.tile img').naturalWidth > 0")
    first = page.get_attribute(".tile", "href")
    wait_for(page, "href => document.querySelector('.tile').getAttribute('href') !== href", first)
    assert "1 consumer" in page.text_content("#headline")
    assert page.text_content(".verdict")
    assert page.locator("#offline").is_hidden()


def test_a_filter_of_the_gallery_is_in_the_url_and_takes_only_what_matches(pipeline: Shown, page: Page) -> None:
    page.goto(pipeline.url)
    page.wait_for_selector(".tile")
    page.goto(f"{pipeline.url}/gallery")
    label = page.locator("[aria-label=Labels] a").first
    label.wait_for()
    label.click()
    page.wait_for_url("**/gallery?label=*")
    page.wait_for_selector(".tile")
    shown = set(page.locator(".tile .label span:first-child").all_text_contents())
    assert shown == {page.url.rpartition("label=")[2]}
    page.locator(".tile").nth(1).click()
    page.wait_for_url("**/record/*")
    before = page.url
    page.wait_for_selector("img.large")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: url != before and "/record/" in url)


def test_a_banner_comes_when_the_dashboard_is_away_and_goes_when_it_is_back(pipeline: Shown, page: Page) -> None:
    page.goto(pipeline.url)
    page.wait_for_selector(".tile")
    page.context.set_offline(True)
    page.wait_for_selector("#offline:not([hidden])")
    assert "does not answer" in page.text_content("#offline")
    page.context.set_offline(False)
    page.wait_for_selector("#offline", state="hidden")


def test_the_wall_shows_real_pictures_and_one_camera_large(cameras: Shown, page: Page) -> None:
    page.goto(f"{cameras.url}/wall")
    wait_for(page, "document.body.textContent.includes('6 of 6 cameras live')")
    red_or_green = """() => {
        const canvas = document.querySelector('.wall canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let strong = 0;
        for (let at = 0; at < data.length; at += 4) {
            if (Math.max(data[at], data[at + 1]) > 200 && Math.min(data[at], data[at + 1]) < 60) strong += 1;
        }
        return strong > 1000;
    }"""
    wait_for(page, red_or_green)
    page.locator(".wall canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait_for(page, "document.querySelector('img.large')?.naturalWidth === 320")
