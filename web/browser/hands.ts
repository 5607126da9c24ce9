import { expect } from "vitest";
import type { Locator, Page } from "playwright-core";

/** Hand is how a person works with the page. */
export interface Hand {
  /** Presses a link or a button. */
  press(target: Locator): Promise<void>;
  /** Replaces what is in a field. */
  fill(field: Locator, value: string): Promise<void>;
  /** Chooses the next option of a list. */
  chooseNext(list: Locator): Promise<void>;
  /** Goes to a box of text, to type in it. */
  enter(box: Locator): Promise<void>;
}

/** mouse is a hand with a mouse, which types, too. */
export function mouse(page: Page): Hand {
  return {
    press: (target) => target.click(),
    async fill(field, value) {
      await field.click({ clickCount: 3 });
      await page.keyboard.press("Control+a");
      await page.keyboard.type(value);
    },
    async chooseNext(list) {
      // The list of a select is drawn by the browser, where no mouse of a test reaches it.
      const chosen = await list.evaluate((select) => (select as HTMLSelectElement).selectedIndex);
      await list.selectOption({ index: chosen + 1 });
    },
    enter: (box) => box.click(),
  };
}

/** correct replaces a text in the editor, as a person does: looks for it and types. */
export async function correct(page: Page, from: string, to: string): Promise<void> {
  await page.keyboard.press("Control+f");
  await page.keyboard.type(from);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await page.keyboard.type(to);
}

/** The page has fewer places for the focus than this. */
const mostStops = 150;

/** keyboard is a hand that has no mouse. Whatever it needs, it reaches with Tab, and it sees where it is. */
export function keyboard(page: Page): Hand {
  const reach = async (target: Locator) => {
    await target.waitFor();
    const isReached = async () => (await target.and(page.locator(":focus")).count()) > 0;
    for (let stops = 0; !(await isReached()); stops++) {
      expect(stops, `Tab does not reach ${target}`).toBeLessThan(mostStops);
      const before = await page.evaluateHandle(() => document.activeElement);
      await page.keyboard.press("Tab");
      const stop = await page.evaluate(focusOf, before);
      expect(stop, "where the focus is").toMatchObject({ isSeen: true, hasMoved: true });
    }
  };
  return {
    async press(target) {
      await reach(target);
      await page.keyboard.press("Enter");
    },
    async fill(field, value) {
      await reach(field);
      await page.keyboard.press("Control+a");
      await page.keyboard.type(value);
    },
    async chooseNext(list) {
      await reach(list);
      await page.keyboard.press("ArrowDown");
    },
    enter: reach,
  };
}

/**
 * focusOf runs in the page. It says where the focus is, whether it has moved, and whether somebody sees it: a ring
 * around the element, or around what stands for it. After the last element the browser has the focus for one Tab.
 */
function focusOf(before: Element | null) {
  const element = document.activeElement;
  if (!element || element === document.body) return { of: "the browser", isSeen: true, hasMoved: true };
  const hasRing = (style: CSSStyleDeclaration) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const box = element.querySelector(".box");
  const around = element.closest(".search");
  const isSeen = hasRing(getComputedStyle(element)) || hasRing(getComputedStyle(element, "::after")) ||
    (around !== null && hasRing(getComputedStyle(around))) ||
    (box !== null && parseFloat(getComputedStyle(box).strokeWidth) >= 2);
  const { top, bottom, left, right } = element.getBoundingClientRect();
  const isInside = bottom > 0 && right > 0 && top < innerHeight && left < innerWidth;
  return { of: element.outerHTML.slice(0, 200), isSeen: isSeen && isInside, hasMoved: element !== before };
}
