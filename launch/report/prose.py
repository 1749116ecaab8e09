"""The report's fixed sentences: what it compares, what each figure shows, how the numbers are made."""

LEDE = (
    'Behavioural cloning (BC), on actions with isotropic noise (σ-BC) and with noise from the posterior (PostBC): '
    'the same demonstrations, seeds and evaluation episodes.'
)

NOISE = (
    'Rms over action dimensions of the noise that an arm adds to demonstrated actions, from the start to the end of an '
    'episode, at demonstrated states. Isotropic noise is the same everywhere; the posterior’s is small where '
    'demonstrations agree and large where they are few. Dotted: 0.15, above which earlier studies lost pretrained '
    'success.'
)

COVERAGE = (
    'Chance that at least one of N attempts of the untouched policy from the same start succeeds. RL can only '
    'reinforce what the policy does now and then.'
)

FINETUNING = (
    'Success of the deterministic finetuned policy; step 0 is the untouched one. Band: ± one standard error of the '
    'mean over seeds, not a confidence interval; arms share seeds, so compare them by the paired differences below.'
)

CALIBRATION = (
    'Demonstrations were left out in turn, BC and the ensemble fitted to the rest, and the left-out actions looked up '
    'among draws of BC with each arm’s noise. On the diagonal the noise is as broad as the demonstrations support, '
    'above it broader, below it narrower. Thin: single seeds. Band, of PostBC: 95% interval that a single seed’s '
    'demonstrations allow, on average.'
)

CANDIDATES = (
    'Success when the critics choose among N draws at every decision; the same episodes for every N. N = 1 is the '
    'untouched policy. Larger is not always better: the best of many is also where the critics err most.'
)

WATCHED = (
    'A strip a run, a cell a chunk: what the monitor made of it. Drifting: success fell from its best, or actions left '
    'the envelope, or the mean moved far from the pretrained policy’s. Overconfident: plays a narrow range and still '
    'fails. Under-exploring: stays where it began and does not improve. ↶ rolled back to its best chunk, ■ stopped, '
    '• another response. Outside: share of explored chunks outside the envelope; spread and distance in units of the '
    'envelope’s spread (of the pretrained policy’s where none was fitted).'
)

SCENARIOS = (
    'Mean success over the grid of scenarios (action gain, bias, observation noise, delay) as finetuning goes on. A '
    'curve that falls while success above rises: the policy learns the task as it is and loses its range.'
)

DECIDED = (
    'Outside: share of the decisions made there whose chunk lay outside the envelope of the demonstrations and was '
    'replaced. Strange: share made at states unlike the demonstrated ones. A good demonstrator is flagged, by either, '
    'at the rate that guard.json gives for the context. Success: of the episodes with a decision there.'
)

BEST = (
    'The best of many is biased upwards: it was chosen by the seeds and episodes that its number comes from, and its '
    'interval knows nothing of the choice. Overlapping intervals do not order settings. Before a number is quoted, '
    'run the best setting again with another config.seed.'
)

TRIALS = (
    'A line is an arm at a setting: the values that it was run with, and its mean success over seeds. Thick: the best '
    'three. “none”: an arm that does not read the parameter. table.csv has every number.'
)

ABLATION = (
    'One parameter at a time, the others at their default (dotted); 95% t intervals over seeds, drawn in [0, 1] where '
    'they are of success. From top to bottom: the noise that policies are trained on, the untouched policies, the best '
    'of N of their attempts, and what finetuning makes of them.'
)

PARAMETERS = (
    'Success over one parameter, all others mixed: a dot an arm at a setting, the line their mean, not a controlled '
    'comparison where the sweep is no full grid. Bars, where there are few: 95% intervals over seeds, drawn in [0, 1].'
)

DIFFERENCES = (
    'Filled: after finetuning; hollow: before it. Ticks are single seeds, bars 95% t intervals of the paired mean '
    '(drawn within ±1). A bar that crosses 0 decides nothing.'
)

METHODS = (
    'The unit is the pretraining seed: its own demonstrations, initialisation and batches, which all arms share. '
    'Finetuning seeds are averaged within it first.',
    'Brackets are 95% intervals by Student’s t over seeds. With 3 seeds that is ±4.3 standard errors: wide, and right '
    'about as often as it says. A bootstrap of 3 seeds looks narrower and covers the truth in about 74 of 100 cases '
    'instead of 95, so it is not used for them. Bounds below 0 or above 1 say that seeds are few.',
    '† one seed only: Wilson’s interval over its evaluation episodes. It says nothing about other seeds.',
    'Differences are paired by seed. No correction is made for the number of arms compared.',
    'P(beats BC), the probability of improvement: that a run of the arm beats an independent run of BC, ties counting '
    'half, with Newcombe’s score interval (2006, method 5), which does not collapse when one arm wins every pair.',
    'pass@N is the unbiased estimator 1 − C(n−c, N)/C(n, N) from c successes in n rollouts of each start.',
    '“Finetuned” is the last evaluation that all runs of the section have reached, not the best.',
    'Dropout and weight decay are BC’s; weighted BC draws better demonstrations more often, by exp(β z) of their '
    'standardised return. All three train on the same seeds, in the same program.',
    'ValueDICE matches visits to demonstrated states and actions, by a saddle point of its own and no noise; its '
    'Gaussian policies begin where BC’s do.',
    'Noise: rms in action units. α means nothing across tasks without it, and a gain over BC can be credited to the '
    'posterior’s shape only against the matched σ-BC arm, whose noise has PostBC’s own rms at every seed.',
    'How broad: an arm’s draws are BC’s with its noise added, the ideal limit of training on it; its own network is '
    'not asked. Excess is the share of held-out actions inside less the share that should be, averaged over levels '
    'from 10 to 99 %. α=auto makes it 0 at each seed. 64 draws tell little beyond 95 %: the range of 99 % holds two '
    'thirds of even the wildest action.',
    '“Played” is the rms over noise draws of what the trained policies decode at demonstrated states. A network’s '
    'error adds to it, which BC’s shows alone; few sampling steps and clipping take from it.',
)
