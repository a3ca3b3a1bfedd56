"""How suggestions pull at people, where they are hidden at random: following of wrong ones, and what all do on balance.

Of the items whose suggestion is wrong, the pull is how much more often people answer as suggested when they see it than
when they do not: what they would have erred alike by themselves is not the suggestion's doing. If a share f of wrong
suggestions is followed and a person who does not follow answers by themselves, as suggested in a share b of cases, the
pull is f (1 - b), for people answer as suggested in f + (1 - f) b of cases with, b without. `followed` takes b out of it.

Intervals are Newcombe's, of two Wilson intervals each, at a level of 99 %: in 95 of 100 experiments the truth should lie
within them with near certainty, where intervals of 95 % would manage it in two of three hundreds. They hold for answers
that are independent given the group; a suggestion must have been hidden at random.

`harmful` is about the interval of one fixed look. As the product looks again and again, it takes a sequence of looks at
5, 10, 20, 40 … items of the rarer kind, and of look number j the level 1 - `FALSE_ALARM` * 6 / (pi j)^2 for its upper
end: for as long as the project lasts, suggestions that do no harm are called harmful with a probability of `FALSE_ALARM`
at most (Bonferroni), as far as Newcombe's interval has its level.

References
----------
R. Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven methods",
Statistics in Medicine 17 (1998), method 10.
"""
