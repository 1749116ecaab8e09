"""Every setting there is, with its default. Experiments start from it and change what they must.

`get_config()` returns a locked ConfigDict: a name that is not here is refused, on the command line too
(`--config.pretrain.steps=2000`). Three values in a comment are the paper's, for Lift / Can / Square.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()

    config.experiment = ''  # name in results and report
    config.seed = 0  # root of every random number
    config.seeds = 3  # pretraining seeds: own demonstrations, posterior, initialisation and batches each

    # The environment: gate, lift, can, square, lift_mjx, or another package's: brax:NAME, playground:NAME,
    # gymnasium:ID, robosuite:TASK, ogbench:NAME, metaworld:TASK.
    config.env = 'gate'
    config.env_settings = ConfigDict(  # unset ones are the environment's own; ones that it does not take are refused
        {
            'horizon': config_dict.placeholder(int),  # steps until the time-out; not of gate, whose end is its task's
            'rare_fraction': config_dict.placeholder(float),  # lift, can, square, lift_mjx: share of rare starts
            'speed': config_dict.placeholder(float),  # lift, can, square, lift_mjx: metres per step at a full action
            'chute': config_dict.placeholder(float),  # lift, can, square: half the width of the dense phase's chute, m
            'success_metric': config_dict.placeholder(str),  # brax:, playground:NAME: a metric, or reward: success ...
            'success_threshold': config_dict.placeholder(float),  # ... is that it is at least this ...
            'below': config_dict.placeholder(bool),  # ... or, where True, at most this
            'sparse': config_dict.placeholder(bool),  # False keeps an environment's own reward; not of built-in tasks
            'at_once': config_dict.placeholder(
                int
            ),  # simulators: environments of a learner that evaluation steps at once
            'workers': config_dict.placeholder(int),  # simulators: processes; one a core
            'timeout': config_dict.placeholder(float),  # simulators: seconds until a silent process counts as hung
            'arguments': config_dict.placeholder(str),  # gymnasium:ID, robosuite:TASK: of its constructor, as JSON
            'layout': config_dict.placeholder(str),  # robosuite:TASK: the version that lays `object` out
            'success_key': config_dict.placeholder(str),  # gymnasium:ID: the entry of info that says success ...
            'success': config_dict.placeholder(str),  # ... or MODULE:FUNCTION, called with (env, info)
            'task': config_dict.placeholder(int),  # ogbench:NAME: which of its goals, 1 to 5
            'backend': config_dict.placeholder(str),  # brax:NAME: generalized, positional, spring or mjx, as it allows
        }
    )

    # The demonstrations: a file of yours, or scripted ones recorded here.
    config.demos = ''  # a file, or the folder of a Minari or LeRobot dataset; '' records scripted operators
    config.obs_keys = ''  # comma-separated, of the file and of a simulator; '' is the format's own choice
    config.mask = ''  # name of a filter in the file's mask/ group, or of a LeRobot split
    config.allow_other_env = False  # True takes a file that says it was recorded in another environment than config.env
    config.action_bound = 1.0  # actions beyond it by more than 1e-3 are refused; 0 turns the check off
    config.record = ConfigDict(
        {
            'episodes': 60,  # recorded in all, over the operators in turn
            'operators': '',  # comma-separated; '' is all of the environment's
            'noise': 0.0,  # standard deviation added to the operators' actions
        }
    )
    config.subset = 10  # demonstrations a seed draws from the file (5 / 10 / 30); 0 is all of them

    # The posterior: an ensemble of regressors on bootstrap resamples.
    config.posterior = ConfigDict(
        {
            'members': 20,  # K (100 / 100 / 100)
            'bootstrap': 'trajectory',  # trajectory, pair, or perturbed targets
            'target_std': 0.1,  # of perturbed targets, normalised action units; read by 'perturbed' alone
            'head': 'mse',  # mse or gaussian
            'covariance': 'full',  # full or diagonal
            'hidden': (64, 64),
            'activation': 'relu',
            'steps': 1500,
            'steps_per_chunk': 250,
            'batch_size': 128,
            'learning_rate': 1e-3,
            'final_rate': 0.01,  # of the learning rate, reached by a cosine
            'weight_decay': 0.0,
        }
    )

    # The generative policy.
    config.policy = ConfigDict(
        {
            'family': 'flow',  # gaussian, diffusion or flow
            'chunk': 1,  # actions in one chunk (4 / 4 / 4)
            'hidden': (96, 96, 96),  # (3x512 / 3x1024 / 3x1024)
            'activation': 'relu',
            'train_steps': 100,  # diffusion: noise levels in training
            'inference_steps': 8,  # denoising steps of one decision (8); fewer play less noise than was trained
            'layer_norm': False,
            'time_features': 4,  # size of the time embedding, even
            'clip': 1.0,  # diffusion: bound of the predicted clean chunk; cuts targets noised beyond it
            'min_std': 0.01,  # gaussian: floor of the standard deviation
            'chain_std': 0.1,  # diffusion, flow: floor of the stochastic chain's standard deviation
        }
    )
    config.pretrain = ConfigDict(
        {
            'steps': 6000,
            'steps_per_chunk': 250,
            'batch_size': 128,
            'learning_rate': 1e-3,
            'weight_decay': 1e-6,
            'warmup': 100,
            'final_rate': 0.1,  # of the learning rate, reached by a cosine
            'ema_decay': 0.995,
        }
    )

    # The arms, each at every seed. BC is always there.
    config.alphas = (1.0,)  # one post_bc arm each (1 / 0.5 / 1)
    config.sigmas = ()  # one sigma_bc arm each, normalised action units (.1 / .1 / .05)
    config.matched = True  # for each alpha a sigma_bc arm with the same noise rms
    config.dropouts = ()  # one bc_dropout arm each: the rate
    config.weight_decays = ()  # one bc_weight_decay arm each, in the place of pretrain.weight_decay
    config.betas = ()  # one weighted_bc arm each: a demonstration of score z is drawn in proportion to exp(beta z) ...
    config.weighted = ConfigDict(
        {
            'measure': 'return',  # ... z its standardised return, of the file's rewards, or of its speed to success
            'discount': 0.99,  # a step
        }
    )

    # A work directory, or its policies/pretrained: its policies are finetuned, and nothing is pretrained here. The
    # settings above but for the environment's, seed, obs_keys, action_bound and policy.chunk are then not read.
    config.init_from = ''

    # Finetuning. Each pretrained policy is finetuned from every finetuning seed.
    config.finetune = ConfigDict(
        {
            'algorithm': 'dsrl_ppo',  # dsrl_ppo, dsrl_sac or none
            'seeds': 1,
            'bound': 1.5,  # |noise| <= bound
            # success (0/1), success_minus_one (-1/0) or env (the environment's own); '' is the algorithm's: success for
            # dsrl_ppo, success_minus_one for dsrl_sac
            'reward': '',
            'chunks': 10,  # compiled calls; each is followed by an evaluation
        }
    )
    config.dsrl_ppo = ConfigDict(
        {
            'iterations_per_chunk': 15,
            'environments': 512,
            'unroll': 0,  # decisions an iteration and environment; 0 is one whole episode
            'hidden': (64, 64),
            'activation': 'tanh',
            'learning_rate': 1e-3,
            'epochs': 4,
            'minibatches': 4,
            'groups': 8,  # environments are shuffled within groups: the most devices that one learner can use
            'discount': 1.0,
            'gae_lambda': 0.95,
            'clip': 0.2,
            'value_cost': 0.5,
            'entropy_cost': 0.0,
            'max_gradient_norm': 1.0,
        }
    )
    config.dsrl_sac = ConfigDict(
        {
            'decisions_per_chunk': 2000,  # over all environments
            'environments': 4,
            'warmup_decisions': 2000,  # with noise ~ N(0, I), before the first update (24000 / 24000 / 32000 steps)
            'replay': 100_000,  # transitions over all environments
            'updates_per_step': 20,  # after each step of all environments together (UTD 20)
            'batch_size': 256,
            'hidden': (256, 256, 256),  # (3x2048)
            'activation': 'tanh',
            'learning_rate': 3e-4,
            'temperature': 1.0,  # to begin with
            'target_margin': 1.0,  # critics' targets stay within the possible returns by this margin
            'discount': 0.99,  # (.99 / .99 / .999)
            'tau': 0.005,
            'target_entropy': 0.0,
        }
    )

    config.evaluate = ConfigDict(
        {
            'episodes': 512,  # of every learner, at every point of the curve
            'coverage_starts': 128,  # start states of pass@N ...
            'coverage_rollouts': 64,  # ... and rollouts from each
        }
    )
    config.save_every = 60.0  # seconds between checkpoints
    config.tensorboard = False  # event files beside metrics.jsonl; needs tensorboardX
    return config.lock()
