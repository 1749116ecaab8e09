"""Every setting there is, with its default. Experiments start from it and change what they must.

`get_config()` returns a locked ConfigDict: a name that is not here is refused, on the command line too
(`--config.pretrain.steps=2000`). Three values in a comment are the paper's, for Lift / Can / Square.
"""

from ml_collections import ConfigDict, config_dict

from experiments.defaults import envelope, watching


def get_config() -> ConfigDict:
    config = ConfigDict()

    config.experiment = ''  # name in results and report
    config.seed = 0  # root of every random number
    config.seeds = 3  # pretraining seeds: own demonstrations, posterior, initialisation and batches each
    config.fold_sweep = True  # points that differ only in arms, pretrain.learning_rate and .weight_decay are one run
    config.fold = ()  # the settings of such a run, which the launchers fill in

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
            'at_once': config_dict.placeholder(int),  # simulators: of a learner's, stepped at once in evaluations
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
    config.record = ConfigDict()
    config.record.episodes = 60  # recorded in all, over the operators in turn
    config.record.operators = ''  # comma-separated; '' is all of the environment's
    config.record.noise = 0.0  # standard deviation added to the operators' actions
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
    config.alpha = ''  # one more, whose alpha is each seed's: auto or rms, see config.calibration
    config.sigmas = ()  # one sigma_bc arm each, normalised action units (.1 / .1 / .05)
    config.matched = True  # for each alpha a sigma_bc arm with the same noise rms
    config.dropouts = ()  # one bc_dropout arm each: the rate
    config.weight_decays = ()  # one bc_weight_decay arm each, in the place of pretrain.weight_decay
    config.betas = ()  # one weighted_bc arm each: a demonstration of score z is drawn in proportion to exp(beta z) ...
    config.weighted = ConfigDict()
    config.weighted.measure = 'return'  # ... z its standardised return, of the file's rewards, or speed to success
    config.weighted.discount = 0.99  # a step

    # What the demonstrations say about the size of the noise: the ensemble and BC, fitted again without some of them.
    config.calibration = ConfigDict(
        {
            'curve': False,  # True shows the arms' reliability also where config.alpha is not auto, which needs it
            'folds': 5,  # of whole demonstrations, left out in turn; of fewer one each
            'members': 10,  # of each fold's ensemble
            'max_alpha': 4.0,  # of auto, where no alpha is enough
            'rms': 0.1,  # of the training targets' noise, in action units: alpha=rms
        }
    )

    # One value_dice arm of a gaussian policy (arXiv 1912.05032): a saddle point over the demonstrations, without noise.
    config.value_dice = ConfigDict(
        {
            'steps': 0,  # 0 is no such arm
            'steps_per_chunk': 1000,
            'batch_size': 256,
            'hidden': (256, 256),  # of nu
            'learning_rate': 1e-5,  # the actor's
            'nu_learning_rate': 1e-3,
            'gradient_penalty': 10.0,
            'orthogonal': 1e-4,  # of the actor
            'discount': 0.99,  # a decision
        }
    )

    # A work directory, or its policies/pretrained: its policies are finetuned, and nothing is pretrained here. The
    # settings above but for the environment's, seed, obs_keys, action_bound and policy.chunk are then not read.
    config.init_from = ''

    # Finetuning. Each pretrained policy is finetuned from every finetuning seed.
    config.finetune = ConfigDict(
        {
            # dsrl_ppo, dsrl_sac, dsrl_na, dppo (diffusion, flow), ppo (gaussian), best_of_n; several with commas, each
            # from the same policies; or none
            'algorithm': 'dsrl_ppo',
            'seeds': 1,
            'bound': 1.5,  # |noise| <= bound
            # success (0/1), success_minus_one (-1/0) or env (the environment's own); '' is the algorithm's:
            # success_minus_one for dsrl_sac and dsrl_na, success for the others
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
            'critic_learning_rate': 0.0,  # 0 is learning_rate
            'critic_warmup': 0,  # iterations in which only the critic learns
            'target_kl': 0.0,  # at which an iteration's updates end; 0 is never
            'reward_scaling': False,  # by the running standard deviation of the return
        }
    )
    config.dppo = ConfigDict(  # of a diffusion or flow policy, through its own chain; DPPO's values (arXiv 2409.00588)
        {
            'iterations_per_chunk': 15,
            'environments': 50,
            'unroll': 0,  # decisions an iteration and environment (300 to 400); 0 is one whole episode
            'hidden': (256, 256, 256),  # of the critic
            'activation': 'mish',
            'learning_rate': 1e-4,
            'critic_learning_rate': 1e-3,
            'epochs': 10,
            'minibatches': 2,
            'groups': 10,
            'discount': 0.999,
            'gae_lambda': 0.95,
            'clip': 0.01,  # of the last step ...
            'clip_base': 0.001,  # ... and of the noisiest finetuned one
            'value_cost': 0.5,
            'entropy_cost': 0.0,
            'max_gradient_norm': 0.0,  # 0 does not clip
            'target_kl': 1.0,
            'critic_warmup': 2,  # iterations
            'reward_scaling': True,
            'denoising_steps': 20,  # of the whole chain
            'finetuned_steps': 10,  # the last ones
            'denoising_discount': 0.99,
            'log_probability': 'mean',  # over the chunk's entries, or their sum
            'min_std': 0.1,  # of a step, while exploring
            'min_log_prob_std': 0.1,
        }
    )
    config.ppo = ConfigDict(  # of a gaussian policy: a chain of length one
        {
            'iterations_per_chunk': 15,
            'environments': 512,
            'unroll': 0,
            'hidden': (64, 64),  # of the critic
            'activation': 'tanh',
            'learning_rate': 1e-4,
            'critic_learning_rate': 1e-3,
            'epochs': 4,
            'minibatches': 4,
            'groups': 8,
            'discount': 0.999,
            'gae_lambda': 0.95,
            'clip': 0.2,
            'value_cost': 0.5,
            'entropy_cost': 0.0,
            'max_gradient_norm': 1.0,
            'target_kl': 0.0,
            'critic_warmup': 2,
            'reward_scaling': True,
            'log_probability': 'sum',
            'min_std': 0.1,
            'min_log_prob_std': 0.1,
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
            'layer_norm': True,  # in the critics
            'learning_rate': 3e-4,
            'temperature': 1.0,  # to begin with
            'target_margin': 1.0,  # critics' targets stay within the possible returns by this margin
            'discount': 0.99,  # (.99 / .99 / .999)
            'tau': 0.005,
            'target_entropy': 0.0,
            'offline_share': 0.0,  # of every batch, from the seed's own demonstrations
        }
    )
    config.dsrl_na = config.dsrl_sac.copy_and_resolve_references()
    config.dsrl_na.noise_critic_steps = 20  # distillation updates after those of a step (20 / 10 / 10)
    config.best_of_n = ConfigDict(
        {
            'steps_per_chunk': 1000,  # updates of the critics
            'episodes': 1000,  # that the pretrained policy plays first (1000 or 2000) ...
            'episodes_per_chunk': 100,  # ... in one compiled call
            'rollouts': '',  # a file of logged rollouts with rewards, in the place of these (episodes 0) or beside them
            'candidates': 16,  # N of the curve and of the policy that is saved
            'numbers': (1, 4, 16, 64),  # N of the sweep in candidates.jsonl
            'hidden': (256, 256),
            'activation': 'tanh',
            'learning_rate': 3e-4,
            'batch_size': 256,
            'expectile': 0.9,  # (.5 to .9)
            'discount': 0.99,  # (.999)
            'tau': 0.005,
        }
    )
    # Critics that all but best_of_n begin with: fitted by IQL to rollouts of the pretrained policy and, where they read
    # actions or states, to the demonstrations. Networks, reward and discount are the finetuner's.
    config.warm_start = ConfigDict(
        {
            'steps': 0,  # updates; 0 is none, and critics begin at random
            'steps_per_chunk': 1000,
            'episodes': 100,
            'episodes_per_chunk': 100,
            'learning_rate': 3e-4,
            'batch_size': 256,
            'expectile': 0.5,  # the value of the pretrained policy; more is that of its better decisions
            'tau': 0.005,
        }
    )

    config.evaluate = ConfigDict()
    config.evaluate.episodes = 512  # of every learner, at every point of the curve
    config.evaluate.coverage_starts = 128  # start states of pass@N ...
    config.evaluate.coverage_rollouts = 64  # ... and rollouts from each
    config.save_every = 60.0  # seconds between checkpoints
    config.tensorboard = False  # event files beside metrics.jsonl; needs tensorboardX
    return watching.add(envelope.add(config)).lock()  # contexts, guard; monitor, curriculum, scenarios
